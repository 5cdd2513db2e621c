"""What stands in front of the functions."""

import json
import unittest

from stack import MAIN, OPENAPI, of_type, properties

ROUTES = {r["RouteKey"]: r for r in of_type(MAIN, "AWS::ApiGatewayV2::Route").values()}
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
    # CloudFront sends these to the edges.
    if not path.startswith("/v1/events") and path not in ("/v1/health", "/v1/openapi.json")
}


def route_of(method, path):
    """The route that API Gateway takes: the path before the greedy one."""
    return next((f"{method} {where}" for where in (path, "/v1/{proxy+}") if f"{method} {where}" in ROUTES), None)


class Api(unittest.TestCase):
    def test_every_operation_has_a_route_that_asks_for_a_token_unless_it_is_open(self):
        self.assertGreater(len(OPERATIONS), 15)
        for (method, path), operation in OPERATIONS.items():
            with self.subTest(f"{method} {path}"):
                key = route_of(method, path)
                self.assertIsNotNone(key)
                wanted = "NONE" if {} in operation["security"] else "JWT"
                self.assertEqual(ROUTES[key].get("AuthorizationType", "NONE"), wanted)

    def test_what_has_no_token_wakes_the_function_at_one_route_alone_and_seldom(self):
        opened = {key for key, route in ROUTES.items() if route.get("AuthorizationType") != "JWT"}
        described = {f"{m} {p}" for (m, p), operation in OPERATIONS.items() if {} in operation["security"]}
        self.assertEqual((opened, described), ({"DELETE /v1/session"}, {"DELETE /v1/session"}))
        (stage,) = of_type(MAIN, "AWS::ApiGatewayV2::Stage").values()
        self.assertEqual(set(stage["RouteSettings"]), opened)
        self.assertLessEqual(stage["RouteSettings"]["DELETE /v1/session"]["ThrottlingRateLimit"], 20)
        # Settings of a route that is not there yet fail a first deployment.
        self.assertEqual(MAIN["Resources"]["ApiStage"]["DependsOn"], "SignOutRoute")

    def test_api_gateway_answers_preflights_itself(self):
        """By its developer guide, "Configure CORS for HTTP APIs": where no route matches OPTIONS."""
        self.assertEqual([key for key in ROUTES if key.startswith(("OPTIONS ", "ANY ", "$default"))], [])

    def test_the_function_may_be_limited_and_is_not_by_default(self):
        self.assertEqual(MAIN["Parameters"]["ApiConcurrency"]["Default"], "")
        wanted = {"Fn::If": ["HasConcurrency", {"Ref": "ApiConcurrency"}, {"Ref": "AWS::NoValue"}]}
        self.assertEqual(properties(MAIN, "ApiFunction")["ReservedConcurrentExecutions"], wanted)

    def test_tokens_are_those_of_the_given_issuer_for_the_given_audience(self):
        (authorizer,) = of_type(MAIN, "AWS::ApiGatewayV2::Authorizer").items()
        self.assertEqual(authorizer[1]["AuthorizerType"], "JWT")
        wanted = {"Issuer": {"Ref": "JwtIssuer"}, "Audience": [{"Ref": "JwtAudience"}]}
        self.assertEqual(authorizer[1]["JwtConfiguration"], wanted)
        for route in ROUTES.values():
            if route.get("AuthorizationType") == "JWT":
                self.assertEqual(route["AuthorizerId"], {"Ref": authorizer[0]})

    def test_only_named_origins_may_call_and_with_every_method_there_is(self):
        condition, cors, otherwise = properties(MAIN, "HttpApi")["CorsConfiguration"]["Fn::If"]
        self.assertEqual((condition, otherwise), ("HasOrigins", {"Ref": "AWS::NoValue"}))
        self.assertEqual(cors["AllowOrigins"], {"Ref": "AllowedOrigins"})
        self.assertEqual(MAIN["Parameters"]["AllowedOrigins"]["Default"], "")
        self.assertTrue(cors["AllowCredentials"])
        self.assertEqual(set(cors["AllowMethods"]), {method for method, _ in OPERATIONS})
        for header in ("authorization", "content-type", "idempotency-key"):
            self.assertIn(header, cors["AllowHeaders"])

    def test_requests_are_throttled_and_logged_as_json_without_what_is_secret(self):
        (stage,) = of_type(MAIN, "AWS::ApiGatewayV2::Stage").values()
        self.assertEqual(stage["StageName"], "$default")
        self.assertIn("ThrottlingRateLimit", stage["DefaultRouteSettings"])
        self.assertIn("ThrottlingBurstLimit", stage["DefaultRouteSettings"])
        line = stage["AccessLogSettings"]["Format"]
        self.assertNotIn("\n", line)
        for value in json.loads(line).values():
            self.assertNotRegex(value, "sourceIp|querystring|path$|authorization|cookie")

    def test_the_function_answers_before_the_api_gives_up(self):
        self.assertLess(properties(MAIN, "ApiFunction")["Timeout"], 30)
