//! Certificates for SSH: a caller shows a token and a public key, and gets a certificate over it.
use crate::{
    api::{ApiState, Came},
    problem::{Problem, Problems},
    rights::{Need, Needs, Whole},
    types::{SshAccessView, SshCertificate, SshCertificateRequest},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use doorward_model::Principal;
use std::time::Duration;

/// How long a certificate is good for where nothing else is asked for; never longer than the token.
const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);
/// The longest that may be asked for.
const LONGEST_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Issues certificates, and knows where they are good.
pub trait SshAccess: Send + Sync {
    /// A certificate over a public key in OpenSSH's format, for a principal.
    ///
    /// # Errors
    /// What is wrong with the key, for who asks.
    fn issue(&self, public_key: &str, who: &Principal, longest: Duration) -> Result<SshCertificate, String>;
    /// Where a principal may connect to.
    ///
    /// # Errors
    /// Where the gateway's host keys cannot be read.
    fn endpoints(&self, who: &Principal) -> Result<Vec<SshAccessView>, String>;
}

/// Endpoints for SSH that the caller may connect to.
#[utoipa::path(get, path = "/ssh/endpoints", tag = "access",
    responses((status = 200, description = "all of them", body = Vec<SshAccessView>), Problems))]
pub(crate) async fn endpoints(
    State(state): State<ApiState>,
    Whole(who): Whole,
) -> Result<Json<Vec<SshAccessView>>, Problem> {
    let endpoints = state.ssh.endpoints(&who);
    endpoints.map(Json).map_err(|why| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why))
}

/// A short-lived certificate over a public key: never good for longer than the caller's token.
#[utoipa::path(post, path = "/ssh/certificates", tag = "access", request_body = SshCertificateRequest,
    responses((status = 201, description = "the certificate", body = SshCertificate), Problems))]
pub(crate) async fn issue(
    State(state): State<ApiState>,
    Whole(who): Whole,
    Extension(came): Extension<Came>,
    needs: Option<Extension<Needs>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<SshCertificate>), Problem> {
    let request: SshCertificateRequest = crate::api::json_body(&headers, body)?;
    let longest = request.ttl_seconds.map_or(DEFAULT_TTL, Duration::from_secs);
    if longest.is_zero() || longest > LONGEST_TTL {
        let most = LONGEST_TTL.as_secs();
        return Err(Problem::new(StatusCode::BAD_REQUEST, format!("ttl_seconds has to be from 1 to {most}")));
    }
    let issued = state.ssh.issue(&request.public_key, &who, longest);
    let issued = issued.map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    came.still_holds(&state, &who)?;
    if let Some(Extension(needs)) = needs {
        needs.note(Need::Same(Box::new((*who).clone())));
    }
    let what = format!("issue SSH certificate {:016x} for {}", issued.serial, issued.fingerprint);
    crate::api::administered(&state, &who, None, what).await?;
    Ok((StatusCode::CREATED, Json(issued)))
}
