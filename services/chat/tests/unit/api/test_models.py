"""The list of models."""

from dataclasses import replace
from decimal import Decimal

from prometheus_client import CollectorRegistry

from chat.api.models import _resource
from chat.catalogue import Model
from chat.generation import Provider
from chat.metrics import ChatMetrics
from chat.price import Price
from chat.providers.circuit_breaker import FAILURE_THRESHOLD, CircuitBreakers
from chat.providers.retry_and_fallback import FallbackGenerator
from chat_testing.turns import MODEL


def no_provider(model: Model) -> Provider:
    raise AssertionError(model.alias)


def test_prices_keep_nine_places() -> None:
    model = replace(MODEL, price=Price(Decimal("0.075"), Decimal("0.000000001"), Decimal("0.0375"), "v"))
    pricing = _resource(model, available=True).pricing
    assert pricing is not None
    prices = (pricing.input_per_million, pricing.output_per_million, pricing.cached_input_per_million)
    assert prices == ("0.075000000", "0.000000001", "0.037500000")


def test_a_model_is_unavailable_while_the_breaker_of_its_server_is_open() -> None:
    breakers = CircuitBreakers()
    generator = FallbackGenerator(no_provider, breakers, ChatMetrics(CollectorRegistry()), max_retries=0)
    assert _resource(MODEL, available=generator.is_available(MODEL)).available
    for _ in range(FAILURE_THRESHOLD):
        breakers.for_target(MODEL.target.base_url).failed()
    assert not _resource(MODEL, available=generator.is_available(MODEL)).available
    other = replace(MODEL, target=replace(MODEL.target, base_url="http://other/v1"))
    assert generator.is_available(other)
