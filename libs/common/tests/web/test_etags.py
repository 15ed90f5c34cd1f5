"""If-None-Match against the ETag of a resource."""

import pytest

from parley.web.etags import has_current


@pytest.mark.parametrize("if_none_match", ["*", ' "3" ', 'W/"3"', '"1",W/"3"', '"1", "3"'])
def test_a_client_that_names_the_current_etag_has_the_current_version(if_none_match: str) -> None:
    assert has_current(if_none_match, '"3"')
    assert has_current(if_none_match, 'W/"3"')


@pytest.mark.parametrize("if_none_match", [None, "", "3", '"33"', 'w/"3"', '"1", *', '"1" "3"'])
def test_a_client_that_names_other_etags_has_another_version(if_none_match: str | None) -> None:
    assert not has_current(if_none_match, '"3"')
    assert not has_current(if_none_match, 'W/"3"')
