"""Field types that several request bodies share."""

from typing import Annotated

from pydantic import AfterValidator, Field

from auth.security import identifiers
from auth.security.password_policy import MAX_LENGTH
from auth.security.scopes import API_KEY_SCOPES, GRANTABLE_SCOPES
from parley.web.schemas import Text, not_blank
from parley.web.validation import FieldValueError

MAX_DISPLAY_NAME = 100

Username = Annotated[Text, Field(max_length=identifiers.MAX_TYPED_LENGTH), AfterValidator(identifiers.username)]
Email = Annotated[Text, Field(max_length=identifiers.MAX_TYPED_LENGTH), AfterValidator(identifiers.email)]
Password = Annotated[Text, Field(max_length=MAX_LENGTH, repr=False)]


def _scopes_of(allowed: frozenset[str]) -> AfterValidator:
    def check(found: list[str]) -> list[str]:
        if not set(found) <= allowed:
            raise FieldValueError("unknown_scope", f"Must be one of: {', '.join(sorted(allowed))}.")
        return sorted(set(found))

    return AfterValidator(check)


EndApiKeys = Annotated[
    bool, Field(description="Whether the API keys that were made since the password was last set end, too.")
]
Name = Annotated[Text, Field(min_length=1, max_length=MAX_DISPLAY_NAME), AfterValidator(not_blank)]
ScopeList = Annotated[list[Text], Field(max_length=len(GRANTABLE_SCOPES)), _scopes_of(GRANTABLE_SCOPES)]
KeyScopes = Annotated[list[Text], Field(min_length=1, max_length=len(API_KEY_SCOPES)), _scopes_of(API_KEY_SCOPES)]
