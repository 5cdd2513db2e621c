"""What stands in front of the functions."""

import json
import re
import unittest

from stack import MAIN, OPENAPI, ROOT, of_type, properties

ROUTES = {r["RouteKey"]: r for r in of_type(MAIN, "AWS::ApiGatewayV2::Route").values()}
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
    # CloudFront sends these to the edges.
    if not path.startswith("/v1/events") and path not in ("/v1/health", "/v1/openapi.json")
}


def route_of(method, path):
    """The route that API Gateway takes: the path before the greedy one, which stands for one part or more."""
    keys = [f"{method} {path}"] + ([f"{method} /v1/{{proxy+}}"] if path.startswith("/v1/") else [])
    return next((key for key in keys if key in ROUTES), None)


class Api(unittest.TestCase):
    def test_every_operation_has_a_route(self):
        self.assertGreater(len(OPERATIONS), 15)
        for method, path in OPERATIONS:
            with self.subTest(f"{method} {path}"):
                self.assertIsNotNone(route_of(method, path))

    def test_what_has_no_token_wakes_no_function(self):
        for key, route in ROUTES.items():
            self.assertEqual(route.get("AuthorizationType"), "JWT", key)

    def test_a_page_of_another_origin_sends_and_reads_the_same_headers_everywhere(self):
        source = (ROOT / "crates/server/src/cors.rs").read_text()
        cors = properties(MAIN, "HttpApi")["CorsConfiguration"]["Fn::If"][1]
        for setting, constant in (("AllowHeaders", "REQUEST_HEADERS"), ("ExposeHeaders", "RESPONSE_HEADERS")):
            (names,) = re.findall(rf"const {constant}: [^=]+= \[(.*?)\];", source, re.DOTALL)
            told = re.findall(r'header::(\w+)|from_static\("([^"]+)"\)', names)
            told = {(constant or name).lower().replace("_", "-") for constant, name in told}
            self.assertEqual(set(cors[setting]), told)

    def test_api_gateway_answers_preflights_itself(self):
        """By its developer guide, "Configure CORS for HTTP APIs": where no route matches OPTIONS."""
        self.assertEqual([key for key in ROUTES if key.startswith(("OPTIONS ", "ANY ", "$default"))], [])

    def test_tokens_are_those_of_the_given_issuer_for_the_given_audience(self):
        (authorizer,) = of_type(MAIN, "AWS::ApiGatewayV2::Authorizer").items()
        self.assertEqual(authorizer[1]["AuthorizerType"], "JWT")
        wanted = {"Issuer": {"Ref": "JwtIssuer"}, "Audience": [{"Ref": "JwtAudience"}]}
        self.assertEqual(authorizer[1]["JwtConfiguration"], wanted)
        for route in ROUTES.values():
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
