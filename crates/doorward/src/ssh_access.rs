//! What the API needs to know of SSH: whom it may give certificates, and where they are good.
use crate::directory::Directory;
use anyhow::{Context as _, Result};
use doorward_control::{SshAccess, SshAccessView, SshCertificate};
use doorward_enforce::{Circumstances, DecisionPoint as _, Subject};
use doorward_gateway::ssh::{self, SshConnection, UserCa};
use doorward_model::{Access, Action, ConnectionInfo, Name, Principal, Resource, SessionId, Timestamp};
use doorward_policy::Engine;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Issues certificates with the gateway's authority.
pub(crate) struct Issuing {
    pub(crate) ca: Arc<UserCa>,
    engine: Arc<Engine>,
    directory: Directory,
    keys: PathBuf,
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Issuing {
    pub(crate) fn new(keys: &Path, engine: Arc<Engine>, directory: Directory) -> Result<Self> {
        let ca = Arc::new(UserCa::open(keys).context("the authority for SSH certificates")?);
        Ok(Self { ca, engine, directory, keys: keys.to_path_buf() })
    }

    /// How a machine is named where it shares its address: in place of the user name, or behind it.
    fn user_at(all: &[SshConnection], c: &SshConnection) -> Option<String> {
        let shared = all.iter().filter(|o| o.listen == c.listen).count() > 1;
        let name = &c.info.name;
        shared.then(|| if c.user.is_some() { name.to_string() } else { format!("+{name}") })
    }
}

/// Whether a policy lets them connect now, without anybody's approval.
pub(crate) fn may_connect(engine: &Engine, who: &Principal, connection: &ConnectionInfo, from: IpAddr) -> bool {
    let subject = Arc::new(Subject {
        session: SessionId::from_uuid(Default::default()),
        principal: who.clone(),
        connection: connection.clone(),
        client_ip: from,
        tls: true,
    });
    let access = Access::new(Action::Connect, Resource::Connection);
    let command = Name::from("connect");
    let circumstances = Circumstances { now: now(), command: &command, statements: 1, approved: false, approvers: &[] };
    let parties = subject.parties();
    parties.iter().all(|party| engine.open(&subject, *party).decide(&access, &circumstances).allowed)
}

impl SshAccess for Issuing {
    fn issue(&self, public_key: &str, who: &Principal, longest: Duration) -> Result<SshCertificate, String> {
        let issued = self.ca.issue(public_key, who, longest, now()).map_err(|e| e.to_string())?;
        Ok(SshCertificate {
            certificate: issued.certificate,
            serial: issued.serial,
            fingerprint: issued.fingerprint,
            principal: who.to_string(),
            expires: issued.expires,
        })
    }

    fn endpoints(&self, who: &Principal) -> Result<Vec<SshAccessView>, String> {
        let host_keys = ssh::public_host_keys(&self.keys).map_err(|e| e.to_string())?;
        let all = self.directory.ssh();
        let view = |c: &SshConnection| SshAccessView {
            name: c.info.name.to_string(),
            host: (!c.listen.ip().is_unspecified()).then(|| c.listen.ip().to_string()),
            port: c.listen.port(),
            host_keys: host_keys.clone(),
            user: Self::user_at(&all, c),
        };
        let may = |c: &&SshConnection| may_connect(&self.engine, who, &c.info, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(all.iter().filter(may).map(view).collect())
    }
}
