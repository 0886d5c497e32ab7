"""What a refusal says of a field, whatever the field is called."""

import pytest

from penstock.opensearch.write.field_errors import FieldError, objection_in

FULL = "Limit of total fields [5] has been exceeded"
MIXED = "mapper [b] cannot be changed from type [long] to [text]"


@pytest.mark.parametrize("name", [FULL, MIXED, f"x; illegal_argument_exception: {FULL}"])
def test_a_field_that_is_named_like_an_error_is_a_field(name):
    assert objection_in(
        f"mapper_parsing_exception: object mapping for [{name}] tried to parse field [{name}] as object, but found a"
        " concrete value"
    ) == FieldError("field", name)
    assert objection_in(
        f"mapper_parsing_exception: failed to parse field [{name}] of type [long]; number_format_exception"
    ) == FieldError("field", name)


def test_an_index_is_full_when_that_is_the_whole_reason():
    assert objection_in(f"illegal_argument_exception: {FULL}") == FieldError("full")
    assert objection_in(f"illegal_argument_exception: {MIXED}") == FieldError("mixed", "b")
