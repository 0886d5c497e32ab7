"""A reaction: which changes it is for, and who is given them."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, SecretStr, field_validator, model_validator

from penstock.settings import checks
from penstock.settings.section import ExistingFile, Section

ReactionKind = Literal["insert", "update", "replace", "delete"]
"""What can happen to a document."""


class ReactionSettings(Section):
    """A reaction: changes of some collections, given to a target."""

    name: Annotated[str, AfterValidator(checks.check_reaction_name)] = Field(
        ..., description="Name of the reaction, under which its position, its lease and its dead letters are kept."
    )
    collections: tuple[Annotated[str, AfterValidator(checks.check_reaction_collection)], ...] = Field(
        ..., description="The collections, as database.collection, all of one database. They need no index."
    )
    kinds: tuple[ReactionKind, ...] = Field(
        ("insert", "update", "replace", "delete"),
        description="The kinds of changes to react to: `insert`, `update`, `replace`, `delete`.",
    )
    where: dict[str, Any] | str | None = Field(
        None,
        description="Condition on the document, in a subset of MongoDB's query language: a table, or a text with"
        " extended JSON. Default: every document.",
    )
    target: Literal["webhook", "function", "eventbridge"] = Field(..., description="Who is given the events.")
    url: Annotated[str | None, AfterValidator(checks.check_webhook)] = Field(
        None, description="For `webhook`: the address to post each event to."
    )
    secret: SecretStr | None = Field(
        None,
        description="For `webhook`: the secret that requests are signed with. It can be given as"
        " `PENSTOCK_REACTION_<NAME>_SECRET` instead, with the name in upper case and `_` for `-`.",
    )
    secret_file: ExistingFile | None = Field(
        None, description="For `webhook`: file that holds the secret. It is read for each request."
    )
    function: Annotated[str | None, AfterValidator(checks.check_function)] = Field(
        None, description="For `function`: Python function, as `module:function`, that is called with each event."
    )
    bus: str | None = Field(None, description="For `eventbridge`: name or ARN of the event bus.")
    region: str | None = Field(None, description="For `eventbridge`: AWS region. Default: that of the AWS profile.")
    document: bool = Field(True, description="Whether events carry the document.")
    before: bool = Field(
        False,
        description="Whether events carry the document as it was before the change. MongoDB 6.0 or newer keeps it for"
        " collections with `changeStreamPreAndPostImages`.",
    )
    after_index: bool = Field(
        False,
        description="Whether an event waits until a search finds what its change left in the index. All collections"
        " must have a [[collections]] table.",
    )
    timeout_s: float = Field(
        10, gt=0, le=300, description="For `webhook`: time for an answer, after which the event is sent again."
    )
    tries: int = Field(
        3, ge=1, le=100, description="How often an event that the target refuses is offered before it is a dead letter."
    )
    in_flight: int = Field(
        4, ge=1, le=32, description="Requests or calls at once. The events of one document are never at once."
    )
    start: Literal["now"] | AwareDatetime = Field(
        "now",
        description="Where the first start begins: with the changes from then on, or of a time such as"
        " `2026-11-29T12:00:00Z` that the change log still holds. Later starts go on where the last one was.",
    )
    on_position_lost: Literal["stop", "now"] = Field(
        "stop",
        description="What to do when the change log no longer holds the position: stop the reaction with an error, or"
        " report it and go on with the changes from now on.",
    )

    @field_validator("collections")
    @classmethod
    def _collections_of_one_database(cls, collections: tuple[str, ...]) -> tuple[str, ...]:
        return checks.check_reaction_collections(collections)

    @field_validator("kinds")
    @classmethod
    def _some_kind(cls, kinds: tuple[ReactionKind, ...]) -> tuple[ReactionKind, ...]:
        if not kinds:
            raise ValueError("must name at least one of insert, update, replace, delete")
        return kinds

    @model_validator(mode="after")
    def _what_the_target_needs(self) -> Self:
        given = {name for name in checks.OF_TARGETS if getattr(self, name) is not None}
        checks.check_target(self.target, given)
        return self

    @property
    def db(self) -> str:
        """The database of its collections."""
        return self.collections[0].partition(".")[0]
