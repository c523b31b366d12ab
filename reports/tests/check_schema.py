"""Holds results.json files, or what a command prints, against the schema; exit 77 without python3-jsonschema.

    check_schema.py SCHEMA COMMAND [ARGUMENT...]
"""
import json
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    sys.exit(77)

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
document = json.loads(subprocess.run(sys.argv[2:], check=False, stdout=subprocess.PIPE).stdout)
kinds = [jsonschema.Draft7Validator]
kinds += [getattr(jsonschema, "Draft202012Validator", jsonschema.Draft7Validator)]
failed = False
for kind in kinds:
    kind.check_schema(schema)
    for error in kind(schema).iter_errors(document):
        print(kind.__name__, "/".join(map(str, error.absolute_path)), error.message[:200])
        failed = True
# What the schema must refuse: one change each.
for change in ("status", "outcome", "verdict", "effect", "price"):
    broken = json.loads(json.dumps(document))
    broken["cases"][0][change] = "no such"
    if not list(jsonschema.Draft7Validator(schema).iter_errors(broken)):
        print("the schema accepts a wrong", change)
        failed = True
sys.exit(1 if failed else 0)
