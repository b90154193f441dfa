"""The vectorised top level of a category agrees with the contract."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from customer_profiles.contracts import category_root
from customer_profiles.profiles.schema import category_root_expr

CODES = st.none() | st.text(alphabet="a.é b", max_size=6) | st.text(max_size=12)


@settings(deadline=None)
@given(st.lists(CODES, max_size=8))
def test_the_expression_agrees_with_the_contract(codes: list[str | None]) -> None:
    frame = pl.DataFrame({"category_code": codes}, schema={"category_code": pl.String})
    roots = frame.select(category_root_expr("category_code"))["category_code"]
    assert roots.dtype == pl.String
    assert roots.to_list() == [category_root(code) for code in codes]
