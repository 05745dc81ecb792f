"""Each service keeps to its own OpenAPI document, whatever it is sent (schemathesis, through the front door).

The same requests in every run: the generator is not random. No answer is a 5xx; each has a status, a media type and a
body that the document tells of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deploy.deployment import Deployment
from sagashop.cli.shop import Shop
from tests.apps import SETTINGS
from tests.people import People, new_product, place, settled

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = {GenerationMode.POSITIVE: 15, GenerationMode.NEGATIVE: 10}
ADMIN_EXAMPLES = 3
"""What stands below /admin is the same code in every service."""

Names = dict[str, str]


@pytest.fixture(scope="module")
def known(people: People, operator: Shop) -> Names:
    """Names of what exists, by the name of the parameter: made-up ones alone would only ever meet a 404."""
    sku, customer = new_product(operator), people.customer()
    order = place(customer, sku)
    settled(customer, order["order_id"])
    return {"sku": sku, "order_id": order["order_id"], "customer_id": order["customer_id"]}


@pytest.fixture(params=["customer", "operator"])
def visitor(request: pytest.FixtureRequest, people: People) -> Shop:
    return people.customer() if request.param == "customer" else people.operator()


@pytest.fixture(autouse=True)
def nothing_stays_paused(operator: Shop) -> Iterator[None]:
    yield
    for service in SETTINGS:
        if service != "chat":
            operator.post(f"/admin/{service}/resume")


@pytest.mark.feature("F54")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_keeps_to_its_document(stack: Deployment, visitor: Shop, known: Names, service: str) -> None:
    schema = schemathesis.openapi.from_dict(visitor.get(f"/docs/{service}/openapi.json"))
    operations = sorted((found.ok() for found in schema.get_all_operations()), key=ends_the_session)  # type: ignore[union-attr]
    cookies = visitor.session.cookies.get_dict()
    assert operations
    wrong = [said for operation in operations for said in what_is_wrong(operation, stack.url, cookies, known)]
    assert wrong == [], "\n\n".join(wrong)


def ends_the_session(operation: APIOperation[Any, Any, Any, Any]) -> bool:
    """These come last: afterwards the visitor is logged out."""
    return operation.path.startswith("/api/session") or operation.label == "POST /api/customers"


def what_is_wrong(operation: APIOperation[Any, Any, Any, Any], url: str, cookies: Names, known: Names) -> Iterator[str]:
    """The first failure of each kind of input."""
    for mode, most in EXAMPLES.items():
        cases = operation.as_strategy(generation_mode=mode)

        @settings(
            max_examples=ADMIN_EXAMPLES if operation.path.startswith("/admin/") else most,
            derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=cases, real=st.booleans())
        def probe(case: Case[Any], real: bool) -> None:
            if real:
                name_what_exists(case, known)
            case.call_and_validate(url, checks=CHECKS, cookies=cookies, timeout=15)

        try:
            probe()
        except Unsatisfiable:  # there is nothing to send that would not fit
            assert mode is GenerationMode.NEGATIVE, operation.label
        except (Failure, FailureGroup) as failure:
            yield f"{operation.label}, {mode.value} data: {failure}"


def name_what_exists(case: Case[Any], known: Names) -> None:
    case.path_parameters.update({name: known[name] for name in case.path_parameters.keys() & known.keys()})
    put_into(case.body, known)


def put_into(body: Any, known: Names) -> None:
    """Replace names in a body, however deep."""
    inside = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    if isinstance(body, dict):
        body.update({name: known[name] for name in body.keys() & known.keys()})
    for value in inside:
        put_into(value, known)
