//! What the API needs to know of short-lived credentials: for which connections there are some, and who may connect.
use crate::{directory::Directory, ssh_access::may_connect};
use doorward_control::{CredentialAccess, CredentialView, NoCredential};
use doorward_gateway::Credentials;
use doorward_model::{Principal, Timestamp};
use doorward_policy::Engine;
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Issues credentials for the connections that take them.
pub(crate) struct Lending {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) directory: Directory,
}

impl CredentialAccess for Lending {
    fn may_connect(&self, connection: &str, who: &Principal, from: IpAddr) -> bool {
        self.directory.mysql(connection).is_some_and(|c| may_connect(&self.engine, who, &c.info, from))
    }

    /// Whoever may not connect from there now is told what somebody hears who names no connection at all.
    fn issue(
        &self,
        connection: &str,
        who: &Principal,
        from: IpAddr,
        longest: Duration,
    ) -> Result<CredentialView, NoCredential> {
        let found = self.directory.mysql(connection);
        let c =
            found.filter(|c| may_connect(&self.engine, who, &c.info, from)).ok_or(NoCredential::NoSuchConnection)?;
        let now = Timestamp::from(SystemTime::now());
        let issued = self.credentials.issue(who, &c.info.name, longest, now);
        let issued = issued.map_err(|e| NoCredential::TooMany(e.to_string()))?;
        Ok(CredentialView {
            connection: c.info.name.to_string(),
            kind: c.info.kind.clone(),
            host: (!c.listen.ip().is_unspecified()).then(|| c.listen.ip().to_string()),
            port: c.listen.port(),
            database: c.database.clone(),
            user: issued.user,
            password: issued.password.expose().clone(),
            principal: who.to_string(),
            expires: issued.expires,
        })
    }
}
