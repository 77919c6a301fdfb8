"""The wiring answers: settings load, the admin opens, health is told (OP2)."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def test_op2_home_leads_to_the_admin_and_its_sign_in() -> None:
    response = Client().get("/", follow=True)
    assert response.redirect_chain[0][0] == "/admin/"
    assert response.status_code == 200
    assert "Rakeback" in response.content.decode()
    assert "rakeback/favicon.svg" in response.content.decode()


def test_op2_health_tells_life_and_readiness() -> None:
    assert Client().get("/health/live/").content == b"ok\n"
    ready = Client().get("/health/ready/?format=json")
    assert ready.status_code == 200, ready.content


def test_op2_description_of_the_api_is_closed_to_strangers() -> None:
    assert Client().get("/api/v1/schema").status_code in (401, 403)
