#!/usr/bin/env python3
"""Holds the JSON schema and the C reader together: every file of the corpus is accepted by both or refused by both,
under draft-07 and under 2020-12. What a schema cannot express is marked in bad/expected.txt.

    schema_differential.py SCHEMA CORPUS        exits 77 without python3-jsonschema
"""
import json
import os
import sys

try:
    from jsonschema import Draft7Validator, Draft202012Validator
except ImportError as reason:
    print("skipped:", reason)
    sys.exit(77)


def no_duplicates(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise ValueError("duplicate key")
    return dict(pairs)


def no_constant(name):
    raise ValueError(name)


def accepts(path, validators):
    """The verdict of each validator; None where the text is no JSON."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read().decode("utf-8"), object_pairs_hook=no_duplicates,
                               parse_constant=no_constant)
    except (ValueError, RecursionError):
        return None
    return [validator.is_valid(value) for validator in validators]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    validators = []
    for draft in (Draft7Validator, Draft202012Validator):
        draft.check_schema(schema)
        validators.append(draft(schema))
    semantic = set()
    with open(os.path.join(sys.argv[2], "bad", "expected.txt"), encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if len(words) > 1 and words[1] == "semantic":
                semantic.add(words[0])
    wrong = 0
    count = 0
    for folder, wanted in (("good", True), ("bad", False)):
        for name in sorted(os.listdir(os.path.join(sys.argv[2], folder))):
            if not name.endswith(".json"):
                continue
            verdicts = accepts(os.path.join(sys.argv[2], folder, name), validators)
            count += 1
            if folder == "bad" and name[:-5] in semantic:
                fine = verdicts is not None and all(verdicts)
            else:
                fine = verdicts is None and not wanted or verdicts is not None and all(v == wanted for v in verdicts)
            if not fine:
                wrong += 1
                print("%s/%s: draft-07 and 2020-12 say %s" % (folder, name, verdicts))
    print("%d files, %d disagreements" % (count, wrong))
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
