"""Which methods a gateway offers to browsers, by the routes that it serves."""

from api_gateway.grpc_web_methods import offered_methods
from api_gateway.settings import RouteChoice


def test_the_list_of_services_is_what_it_is_meant_to_be() -> None:
    def services(routes: RouteChoice) -> set[str]:
        return {method.service.rsplit(".", 1)[1] for method in offered_methods(routes).values()}

    public = {"OrderService", "ShardService", "DbService", "MarketService", "AnalyticsService", "AuthService"}
    assert services("public") == public
    assert services("admin") == {"MarketAdminService", "UserAdminService", "AuthService", "DbService"}
    assert services("all") == {
        "OrderService",
        "ShardService",
        "MarketAdminService",
        "DbService",
        "MarketService",
        "AnalyticsService",
        "AuthService",
        "UserAdminService",
    }


def test_what_is_an_administrators_is_not_offered_to_the_public() -> None:
    """As with REST: what only administrators may call is below /v1/admin there, on a gateway of its own."""

    def methods(routes: RouteChoice) -> set[str]:
        return {method.name for method in offered_methods(routes).values() if "DbService" in method.service}

    assert methods("admin") == {"GetTreasury", "ListRevenue", "ListAudit"}
    assert methods("public").isdisjoint(methods("admin"))
    assert methods("public") | methods("admin") == methods("all")
