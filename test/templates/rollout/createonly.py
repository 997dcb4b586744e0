"""Print the properties whose change replaces a resource, for the types named on the command line.

The answer is a JSON object by type: the paths of createOnlyProperties and of
conditionalCreateOnlyProperties in the schemas of CloudFormation's registry, which cfn-lint carries.
A type that it lacks is left out.
"""

import json
import sys

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER, ResourceNotFoundError

# Regions differ in the types that they have, not in what replaces them.
REGION = "us-east-1"


def paths(schema: dict, member: str) -> list[str]:
    """List a member's property paths without their common beginning."""
    return sorted(path.removeprefix("/properties/") for path in schema.get(member, []))


def main() -> None:
    """Look the types up."""
    known = {}
    for name in sys.argv[1:]:
        try:
            schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, name).schema
        except ResourceNotFoundError:
            continue
        known[name] = {
            "createOnly": paths(schema, "createOnlyProperties"),
            "conditional": paths(schema, "conditionalCreateOnlyProperties"),
        }
    json.dump(known, sys.stdout)


if __name__ == "__main__":
    main()
