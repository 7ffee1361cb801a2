//! Short-lived credentials: a caller shows a token and gets a user name and a password for drivers that cannot send one.
use crate::{
    api::{ApiState, Came},
    problem::{Problem, Problems},
    rights::{Need, Needs, Whole},
    serve::Peer,
    types::{CredentialRequest, CredentialView},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use doorward_model::Principal;
use std::{net::IpAddr, time::Duration};

/// How long a credential is good for where nothing else is asked for; never longer than the token.
const DEFAULT_TTL: Duration = Duration::from_secs(15 * 60);
/// The longest that may be asked for.
const LONGEST_TTL: Duration = Duration::from_secs(60 * 60);

/// What whoever gets none is told there is none of.
pub(crate) const NO_SUCH_CONNECTION: &str = "connection that takes short-lived credentials and that you may connect to";

/// Why there is no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCredential {
    /// There is no such connection, it takes no such credentials, or the caller may not connect to it.
    NoSuchConnection,
    /// There is no room, in words.
    TooMany(String),
}

/// Issues credentials.
pub trait CredentialAccess: Send + Sync {
    /// Whether a principal who asks from an address may have a credential for a connection now.
    fn may_connect(&self, connection: &str, who: &Principal, from: IpAddr) -> bool;
    /// A credential for a principal who asks from an address, on one connection.
    ///
    /// # Errors
    /// Where there is none for it.
    fn issue(
        &self,
        connection: &str,
        who: &Principal,
        from: IpAddr,
        longest: Duration,
    ) -> Result<CredentialView, NoCredential>;
}

/// A short-lived user name and password for a connection, for drivers that cannot send a token.
#[utoipa::path(post, path = "/credentials", tag = "access", request_body = CredentialRequest,
    responses((status = 201, description = "the credential", body = CredentialView), Problems))]
pub(crate) async fn issue(
    State(state): State<ApiState>,
    Whole(who): Whole,
    Extension(came): Extension<Came>,
    Extension(Peer { ip: from, .. }): Extension<Peer>,
    needs: Option<Extension<Needs>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<CredentialView>), Problem> {
    let request: CredentialRequest = crate::api::json_body(&headers, body)?;
    let longest = request.ttl_seconds.map_or(DEFAULT_TTL, Duration::from_secs);
    if longest.is_zero() || longest > LONGEST_TTL {
        let most = LONGEST_TTL.as_secs();
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("ttl_seconds has to be from 1 to {most}")));
    }
    let issued = state.credentials.issue(&request.connection, &who, from, longest).map_err(|why| match why {
        NoCredential::NoSuchConnection => Problem::not_found(NO_SUCH_CONNECTION),
        NoCredential::TooMany(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why),
    })?;
    came.still_holds(&state, &who)?;
    if let Some(Extension(needs)) = needs {
        needs.note(Need::Connect(request.connection));
        needs.note(Need::Same(Box::new((*who).clone())));
    }
    let what = format!("issue credential {} for connection {}", issued.user, issued.connection);
    crate::api::administered(&state, &who, None, what).await?;
    Ok((StatusCode::CREATED, Json(issued)))
}
