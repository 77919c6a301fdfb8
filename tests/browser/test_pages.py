"""Every page of the sidebar in a real browser, wide and narrow, light and dark, and with the keyboard alone (UI9)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User

from chain.models import Hotkey
from chain.tests.factories import HOTKEY, make_blocks, make_everything
from chain.tests.hostile_node import HostileNode, serving_websocket
from chain.tests.replay_node import Play
from partners.tests.factories import make_agreement, make_partner
from rakeback.demo import run_demo
from tests.browser.conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NOW = datetime(2025, 9, 1, tzinfo=UTC)
WIDTHS = (1280, 390)
# How far the page itself can be pushed sideways.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def make_viewer() -> User:
    """One who may see everything of the business and change nothing of it."""
    user = User.objects.create_user("vera", password="see-all-change-none", is_staff=True)
    user.groups.set(Group.objects.filter(name="viewer"))
    apps = ["chain", "partners", "ledger", "payments"]
    user.user_permissions.set(
        Permission.objects.filter(codename__startswith="view_", content_type__app_label__in=apps)
    )
    return user


def check_in_all_forms(visitor: Visitor, path: str) -> None:
    """Open a page once, then look at it in both widths and both themes."""
    visitor.open(path)
    for theme in ("light", "dark"):
        visitor.page.evaluate(
            "dark => document.documentElement.classList.toggle('dark', dark)", theme == "dark"
        )
        for width in WIDTHS:
            visitor.page.set_viewport_size({"width": width, "height": 900})
            if overflow := visitor.page.evaluate(OVERFLOW):
                visitor.complaints.append(f"{path} is {overflow} px too wide at {width} px, {theme}")
    visitor.page.set_viewport_size({"width": WIDTHS[0], "height": 900})


def sidebar(visitor: Visitor) -> list[str]:
    """Every link of the sidebar."""
    visitor.open("/admin/")
    links = visitor.page.locator("#nav-sidebar-apps a")
    return [str(link.get_attribute("href")) for link in links.all()]


def first_row(visitor: Visitor) -> str | None:
    """The first detail page that the open list links."""
    link: str | None = visitor.page.evaluate(
        "document.querySelector('#result_list tr.data-row :is(th, td) a[href*=\"/change/\"]')?.getAttribute('href')"
    )
    return link


def test_ui9_every_page_of_the_sidebar_opens_clean_in_every_form(visitor: Visitor) -> None:
    run_demo(now=NOW, say=lambda _: None)
    make_viewer()
    visitor.sign_in("vera", "see-all-change-none")
    lists = sidebar(visitor)
    assert len(lists) > 18, lists
    details = []
    for path in lists:
        check_in_all_forms(visitor, path)
        if row := first_row(visitor):
            details.append(row.split("?")[0])
    assert len(details) > 15, details
    for path in [*details, "/admin/ledger/attribution/block/213/", "/admin/password_change/"]:
        check_in_all_forms(visitor, path)
    assert visitor.complaints == []


def test_ui9_the_pages_of_the_system_open_clean(visitor: Visitor) -> None:
    User.objects.create_superuser("root", password="see-and-change-all")
    visitor.sign_in("root", "see-and-change-all")
    links = sidebar(visitor)
    of_the_system = [
        path for path in links if path.startswith(("/admin/auth/", "/admin/django_celery_beat/"))
    ]
    assert len(of_the_system) > 3, links
    # Nothing was ingested: what empty lists say must fit as well.
    empty = ["/admin/", "/admin/chain/block/", "/admin/partners/partner/", "/admin/ledger/period/"]
    for path in [*of_the_system, *empty]:
        check_in_all_forms(visitor, path)
    check_in_all_forms(visitor, f"/admin/auth/user/{User.objects.get(username='root').pk}/change/")
    assert visitor.complaints == []


def test_ui9_a_narrow_dark_screen_from_the_start(visitor: Visitor) -> None:
    make_everything(5)
    make_viewer()
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    visitor.page.emulate_media(color_scheme="dark")
    visitor.sign_in("vera", "see-all-change-none")
    for path in ("/admin/", "/admin/chain/yield/", "/admin/chain/block/3/change/"):
        visitor.open(path)
        assert visitor.page.evaluate(OVERFLOW) == 0, path
        assert "dark" in str(visitor.page.evaluate("document.documentElement.className"))
    # A wide table scrolls inside its box.
    boxes = "[...document.querySelectorAll('.rb-scroll')].some(box => box.scrollWidth > box.clientWidth)"
    assert visitor.page.evaluate(boxes)
    assert visitor.complaints == []


def test_ui9_a_message_with_a_long_word_fits_a_phone(visitor: Visitor, settings: Any) -> None:
    operator = User.objects.create_user("olivia", password="tries-the-nodes", is_staff=True)
    operator.groups.set(Group.objects.filter(name="operator"))
    make_blocks(72, 73)
    visitor.sign_in("olivia", "tries-the-nodes")
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    with serving_websocket(HostileNode(Play("play"), "pruned", "state_queryStorageAt")) as url:
        settings.RAKEBACK_NODE_URL = url
        visitor.open("/admin/chain/endpoint/try/")
        visitor.page.click("form.bf-form button[type=submit]")
        visitor.page.wait_for_selector(".errornote")
    assert "has pruned block 72 (0x" in visitor.page.inner_text(".errornote")
    assert visitor.page.evaluate(OVERFLOW) == 0
    # The list itself says it too, and what to do.
    assert "put an archive node before it" in visitor.page.inner_text("#result_list")
    assert visitor.complaints == []


def test_ui9_an_action_and_its_reason_can_be_run_on_a_phone(visitor: Visitor) -> None:
    make_agreement(make_partner())
    operator = User.objects.create_user("olivia", password="asks-before-she-acts", is_staff=True)
    operator.groups.set(Group.objects.filter(name="operator"))
    visitor.sign_in("olivia", "asks-before-she-acts")
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    visitor.open("/admin/partners/rule/")
    visitor.page.check("input.action-select >> nth=0")
    visitor.page.select_option("#changelist-actions select[name=action]", "deactivate", force=True)
    for selector in ("button[name=index]", "input[name=reason]", "select[name=action]"):
        box = visitor.page.locator(f"#changelist-actions {selector}").bounding_box()
        assert box is not None
        assert box["x"] >= 0, selector
        assert box["x"] + box["width"] <= 390, selector
    visitor.page.fill("#changelist-actions input[name=reason]", "Signed off by Kim")
    visitor.page.click("#changelist-actions button[name=index]")
    visitor.page.wait_for_selector("text=Rules now inactive: 1")
    assert visitor.complaints == []


def tab_to(visitor: Visitor, selector: str) -> None:
    """Press Tab until the focus is there."""
    for _ in range(120):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"the keyboard never reaches {selector}")


def test_ui9_an_address_is_copied_with_the_keyboard_alone(visitor: Visitor) -> None:
    Hotkey.objects.create(address=HOTKEY, first_block=1)
    make_viewer()
    visitor.sign_in("vera", "see-all-change-none")
    visitor.open("/admin/chain/hotkey/")
    tab_to(visitor, ".rb-copy")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector('.rb-copy[data-said="Copied"]')
    assert visitor.page.evaluate("navigator.clipboard.readText()") == HOTKEY
    assert visitor.page.inner_text("#rb-said") == "Copied"
    # It says so for a moment only.
    visitor.page.wait_for_selector(".rb-copy:not([data-said])")


def test_ui9_filters_open_with_the_keyboard_alone(visitor: Visitor) -> None:
    make_everything(2)
    make_viewer()
    visitor.sign_in("vera", "see-all-change-none")
    visitor.open("/admin/chain/yield/")
    assert not visitor.page.is_visible("#changelist-filter")
    tab_to(visitor, "#changelist a[role=button]")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("#changelist-filter", state="visible")


def test_ui1_pointing_at_a_day_of_the_chart_reads_out_its_numbers(visitor: Visitor) -> None:
    make_everything(8)
    make_viewer()
    visitor.sign_in("vera", "see-all-change-none")
    visitor.page.locator("[data-readout]").first.hover()
    assert "2025-01-01: 0.000000800 TAO" in visitor.page.inner_text(".rb-readout")
    assert visitor.complaints == []
