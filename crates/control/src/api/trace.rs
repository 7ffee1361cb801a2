//! A span for each request to the API, where traces are switched on.
use super::{BASE, now};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use doorward_enforce::{HttpCall, TraceParent, TraceSink};
use std::sync::Arc;

/// Tells of a request once its answer has begun.
pub(super) async fn observe(State(traces): State<Arc<dyn TraceSink>>, request: Request, next: Next) -> Response {
    let began = now();
    let parent = request.headers().get("traceparent").and_then(|v| TraceParent::parse(v.to_str().ok()?));
    let (method, route) = (request.method().to_string(), route(request.uri().path()));
    let answer = next.run(request).await;
    traces.call(HttpCall { parent, method, route, status: answer.status().as_u16(), began, ended: now() });
    answer
}

/// What is asked for, without the names of things.
fn route(path: &str) -> String {
    let path = path.strip_prefix(BASE).unwrap_or(path).trim_start_matches('/');
    format!("{BASE}/{}", path.split('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn names_are_not_in_a_route() {
        assert_eq!(route("/api/v1/secrets/orders-password"), "/api/v1/secrets");
        assert_eq!(route("/secrets/orders-password"), "/api/v1/secrets");
        assert_eq!(route("/api/v1/approvals"), "/api/v1/approvals");
    }
}
