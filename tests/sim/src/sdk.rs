//! The SDK as a simulated process uses it: its own retries and timeouts over a simulated network,
//! and nothing of what the simulated cloud does not look at.

use aws_runtime::{
    invocation_id::InvocationIdInterceptor, request_info::RequestInfoInterceptor,
    user_agent::UserAgentInterceptor,
};
use aws_sdk_dynamodb::config::endpoint as rows;
use aws_sdk_sqs::config::endpoint as queues;
use aws_smithy_runtime::client::{
    auth::no_auth::NO_AUTH_SCHEME_ID, identity::IdentityCache, retries::RetryPartition,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        endpoint::EndpointFuture,
        interceptors::{
            Intercept, context::BeforeSerializationInterceptorContextRef, disable_interceptor,
            dyn_dispatch_hint,
        },
        stalled_stream_protection::StalledStreamProtectionConfig,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, endpoint::Endpoint, retry::RetryConfig};
use server::aws::Configs;

use crate::cloud::Network;

/// What a process talks to DynamoDB with.
pub(crate) fn rows(base: &Configs, network: &Network) -> aws_sdk_dynamodb::Config {
    aws_sdk_dynamodb::config::Builder::from(&base.dynamodb)
        .http_client(network.clone())
        .retry_config(retries())
        .retry_partition(own())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .endpoint_resolver(At("http://rows"))
        .identity_cache(IdentityCache::no_cache())
        .allow_no_auth()
        .auth_scheme_preference([NO_AUTH_SCHEME_ID])
        .interceptor(Unnamed)
        .build()
}

/// What a process talks to SQS with: for calls that answer at once, and for receives.
pub(crate) fn queues(base: &Configs, network: &Network) -> [aws_sdk_sqs::Config; 2] {
    [&base.sqs, &base.sqs_receive].map(|base| {
        aws_sdk_sqs::config::Builder::from(base)
            .http_client(network.clone())
            .retry_config(retries())
            .retry_partition(own())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .endpoint_resolver(At("http://queues"))
            .identity_cache(IdentityCache::no_cache())
            .allow_no_auth()
            .auth_scheme_preference([NO_AUTH_SCHEME_ID])
            .interceptor(Unnamed)
            .build()
    })
}

/// The SDK's own jitter follows from no seed.
fn retries() -> RetryConfig {
    RetryConfig::standard().with_use_static_exponential_base(true)
}

/// What one process has spent of its retries is no other one's affair.
fn own() -> RetryPartition {
    RetryPartition::custom("own").build()
}

/// One place, without the rules that find AWS's: they are a tenth of what a request costs.
#[derive(Debug)]
struct At(&'static str);

impl At {
    fn endpoint<'a>(&self) -> EndpointFuture<'a> {
        EndpointFuture::ready(Ok(Endpoint::builder().url(self.0).build()))
    }
}

impl rows::ResolveEndpoint for At {
    fn resolve_endpoint<'a>(&'a self, _: &'a rows::Params) -> EndpointFuture<'a> {
        self.endpoint()
    }
}

impl queues::ResolveEndpoint for At {
    fn resolve_endpoint<'a>(&'a self, _: &'a queues::Params) -> EndpointFuture<'a> {
        self.endpoint()
    }
}

/// Requests without the headers that say who asks, and how often: they are a tenth of what one costs.
#[derive(Debug)]
struct Unnamed;

#[dyn_dispatch_hint]
impl Intercept for Unnamed {
    fn name(&self) -> &'static str {
        "Unnamed"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let why = "the simulated cloud does not look at it";
        let state = config.interceptor_state();
        state.store_put(disable_interceptor::<UserAgentInterceptor>(why));
        state.store_put(disable_interceptor::<RequestInfoInterceptor>(why));
        state.store_put(disable_interceptor::<InvocationIdInterceptor>(why));
        Ok(())
    }
}
