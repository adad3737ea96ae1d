"""The JSON Schema of a profile's file, made from the models that read it, so that editors complete and check a profile."""

import json
from typing import Any

from adapters.profile import ProfileFile
from adapters.profile_text import SHORT_FORMS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def profile_schema() -> dict[str, Any]:
    """Return the schema, with the short forms (parse = "text") that are written out before the models read them."""
    schema = ProfileFile.model_json_schema(by_alias=True)
    verbs = schema["$defs"]["Mapping_"]["properties"]
    for verb, _ in SHORT_FORMS:
        verbs[verb] = {"anyOf": [{"type": "string"}, *verbs[verb].get("anyOf", [verbs[verb]])]}
    return {**schema, "$schema": _DIALECT, "title": "Profile of a local format"}


def text() -> str:
    """Return the schema as it stands in its file."""
    return json.dumps(profile_schema(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
