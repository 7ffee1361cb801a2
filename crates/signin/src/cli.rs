//! `doorward login`: the command line gets a session of its own, which a browser vouches for.
//!
//! Either the gateway asks the provider for the device flow (RFC 8628), and the person types a code on any device; or the
//! command line waits on a loopback port for a code that a signed-in browser brings (RFC 8252), and shows with it what
//! it was made for (PKCE). Client secrets stay with the gateway either way.
use crate::{
    Begun, By, Caller, SignIn, SignInError, SignedIn,
    oidc::{challenge, error_word},
    secret,
};
use doorward_model::{Secret, Timestamp};
use doorward_store::{SessionPurpose, StoreError};
use serde::Deserialize;
use std::time::Duration;

/// How long the code that a browser brings is good for.
const CODE_TTL: Duration = Duration::from_secs(60);
const LONGEST_DEVICE: u64 = 1800;
const CODE_PREFIX: &str = "dwc_";
const HANDLE_PREFIX: &str = "dwd_";

/// What a browser has vouched for.
#[derive(Debug)]
pub(crate) struct Vouched {
    who: SignedIn,
    auth: String,
    challenge: String,
}

/// A device flow under way.
#[derive(Debug)]
pub(crate) struct Device {
    provider: String,
    code: Secret<String>,
    interval: Duration,
    /// Not to be asked before.
    next: Timestamp,
}

/// What the person has to do, and what the command line asks again with.
#[derive(Debug)]
pub struct DeviceBegun {
    /// For [`SignIn::poll_device`].
    pub handle: Secret<String>,
    /// To be typed in.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Seconds between two questions.
    pub interval: u64,
    /// Seconds until it is over.
    pub expires_in: u64,
}

#[derive(Deserialize)]
struct DeviceAnswer {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl SignIn {
    /// A code for a program on the caller's machine, which has told the hash of what it will redeem it with. Only for who
    /// signed in by browser.
    pub fn vouch_for_cli(&self, caller: &Caller, challenge: &str, now: Timestamp) -> Option<Secret<String>> {
        let (auth, provider_session, ends) = match &caller.by {
            By::Session { purpose: SessionPurpose::Browser, auth, provider_session, provider_ends, .. } => {
                (auth.clone(), provider_session.clone(), *provider_ends)
            }
            By::Session { .. } | By::Token | By::Key { .. } => return None,
        };
        if !secret::looks_like("", challenge) {
            return None;
        }
        let code = secret::fresh(CODE_PREFIX);
        let who = SignedIn { provider_session, ends, ..SignedIn::new(caller.principal.clone()) };
        let vouched = Vouched { who, auth, challenge: challenge.to_owned() };
        self.vouched.put(code.expose(), now.after(CODE_TTL), vouched);
        Some(code)
    }

    /// A session for who brings a code and what it was made for. Tried once.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn redeem_cli_code(
        &self,
        code: &str,
        verifier: &str,
        now: Timestamp,
    ) -> Result<Option<Begun>, StoreError> {
        let Some(vouched) = self.vouched.take(code, now).filter(|v| v.challenge == challenge(verifier)) else {
            return Ok(None);
        };
        self.begin(vouched.who, &vouched.auth, SessionPurpose::Cli, now).await.map(Some)
    }

    /// Begins a device flow at a provider.
    ///
    /// # Errors
    /// Where it has none, or cannot be reached.
    pub async fn begin_device(&self, provider: &str, now: Timestamp) -> Result<DeviceBegun, SignInError> {
        if self.is_saml(provider) {
            return Err(SignInError::NoDeviceFlow);
        }
        let provider = self.provider(provider)?;
        let endpoints = provider.endpoints().await?;
        let url = endpoints.device.as_ref().ok_or(SignInError::NoDeviceFlow)?;
        let (status, body) = provider.ask(&endpoints, url, &[("scope", &provider.scope())]).await?;
        if !status.is_success() {
            return Err(SignInError::Provider(format!("its device endpoint answers {}", status.as_u16())));
        }
        let odd = |what: &str| SignInError::Provider(format!("the answer of its device endpoint {what}"));
        let answer: DeviceAnswer = serde_json::from_slice(&body).map_err(|_| odd("is malformed"))?;
        let shown = |text: &String| text.len() <= 2048 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let uris = [Some(&answer.verification_uri), answer.verification_uri_complete.as_ref()];
        if !shown(&answer.user_code) || !uris.into_iter().flatten().all(|u| shown(u) && provider.endpoint(u).is_some())
        {
            return Err(odd("is not fit to be shown"));
        }
        let interval = answer.interval.unwrap_or(5).clamp(1, 60);
        let expires_in = answer.expires_in.min(LONGEST_DEVICE);
        let handle = secret::fresh(HANDLE_PREFIX);
        let device = Device {
            provider: provider.config.name.clone(),
            code: Secret::new(answer.device_code),
            interval: Duration::from_secs(interval),
            next: now,
        };
        self.devices.put(handle.expose(), now.after(Duration::from_secs(expires_in)), device);
        Ok(DeviceBegun {
            handle,
            user_code: answer.user_code,
            verification_uri: answer.verification_uri,
            verification_uri_complete: answer.verification_uri_complete,
            interval,
            expires_in,
        })
    }

    /// Whether the person has signed in by now: none while they have not. The provider is asked no more often than it
    /// wants to be (RFC 8628, section 3.5).
    ///
    /// # Errors
    /// Why nobody will.
    pub async fn poll_device(&self, handle: &str, now: Timestamp) -> Result<Option<SignedIn>, SignInError> {
        let asked = self.devices.with(handle, now, |d| {
            let due = d.next <= now;
            if due {
                d.next = now.after(d.interval);
            }
            due.then(|| (d.provider.clone(), d.code.clone()))
        });
        let Some((name, code)) = asked.ok_or(SignInError::NotBegun("unknown, used or old device"))? else {
            return Ok(None);
        };
        let provider = self.provider(&name)?;
        let endpoints = provider.endpoints().await?;
        let grant = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code.expose())];
        let tokens = provider.tokens(&endpoints, &grant).await?;
        match tokens.error.as_deref() {
            Some("authorization_pending") => return Ok(None),
            Some("slow_down") => {
                self.devices.with(handle, now, |d| d.interval = d.interval.saturating_add(Duration::from_secs(5)));
                return Ok(None);
            }
            Some(error) => {
                self.devices.take(handle, now);
                return Err(SignInError::Denied(error_word(error)));
            }
            None => {}
        }
        // Of two who ask at once, one.
        self.devices.take(handle, now).ok_or(SignInError::NotBegun("the device was used"))?;
        let who = provider.identity(&endpoints, &tokens, None, now).await?;
        let (principal, provider_session) = (who.principal, who.session);
        Ok(Some(SignedIn { principal, provider_session, return_to: "/".into(), ends: None }))
    }
}
