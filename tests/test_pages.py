"""What a command writes into a page stands between its marks, and nothing else changes."""

import pytest

from dlbook_torch.pages import marks, renewed

PAGE = "before\n<!-- part -->\nold\n<!-- /part -->\n<!-- other -->\nkept\n<!-- /other -->\n"


def test_only_what_is_between_the_marks_changes():
    new = renewed(PAGE, "part", "new")
    assert new == PAGE.replace("old", "new")
    assert renewed(new, "part", "new") == new


@pytest.mark.parametrize("lost", marks("part"))
def test_a_page_without_a_mark_is_an_error(lost):
    with pytest.raises(ValueError, match=r"there is no <!-- part --> .* <!-- /part -->"):
        renewed(PAGE.replace(lost, ""), "part", "new")


def test_marks_in_the_wrong_order_are_none():
    with pytest.raises(ValueError, match="there is no"):
        renewed("<!-- /part -->\n<!-- part -->\n", "part", "new")
