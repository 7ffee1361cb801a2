//! An address that callers connect to, with the machines behind it: one, or several that share it.
use super::{Endpoint, caller};
use crate::{
    Arrivals,
    accept::{self, Door, Full},
    arrivals::Waiting,
};
use doorward_model::{ConnectionInfo, ConnectionName};
use std::{io, sync::Arc};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// What listens at one address.
#[derive(Debug)]
pub struct Listener {
    /// At least one.
    first: Arc<Endpoint>,
    others: Vec<Arc<Endpoint>>,
    name: ConnectionName,
    slots: Arc<Semaphore>,
}

impl Listener {
    /// For the connections that share an address. None where there are none. Those that another listener had there before go on
    /// as they are, with the sessions that they count.
    pub fn new(endpoints: Vec<Arc<Endpoint>>) -> Option<Self> {
        let names: Vec<String> = endpoints.iter().map(|e| e.connection.info.name.to_string()).collect();
        let room = endpoints.iter().map(|e| e.connection.max_sessions).sum::<usize>();
        let mut endpoints = endpoints.into_iter();
        Some(Self {
            first: endpoints.next()?,
            others: endpoints.collect(),
            name: ConnectionName::new(&names.join(",")),
            slots: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
        })
    }

    /// The endpoint of this very connection, as it is configured now.
    pub fn endpoint(&self, info: &Arc<ConnectionInfo>) -> Option<Arc<Endpoint>> {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        all.find(|e| Arc::ptr_eq(&e.connection.info, info)).map(Arc::clone)
    }

    /// Accepts callers until told to stop. Sessions that live go on.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: watch::Receiver<bool>) {
        accept::serve(self, listener, stop).await;
    }

    /// What all of them have in common.
    pub(crate) const fn any(&self) -> &Arc<Endpoint> {
        &self.first
    }

    /// The connection's name, or all of theirs: which one it is to be is not known before log-in.
    pub(crate) const fn name(&self) -> &ConnectionName {
        &self.name
    }

    pub(crate) const fn is_shared(&self) -> bool {
        !self.others.is_empty()
    }

    /// The machine that a user name asks for, and what is left of the name: `ops+web-1` is `ops` on `web-1`. The name of
    /// a machine alone is enough where the configuration says who logs in there.
    pub(crate) fn machine<'a>(&self, user: &'a str) -> Option<(Arc<Endpoint>, &'a str)> {
        let named = |name: &str| {
            let mut all = std::iter::once(&self.first).chain(&self.others);
            all.find(|e| e.connection.info.name.as_str() == name).map(Arc::clone)
        };
        if let Some((user, name)) = user.rsplit_once('+')
            && let Some(endpoint) = named(name)
        {
            return Some((endpoint, user));
        }
        match named(user).filter(|e| e.connection.user.is_some()) {
            Some(endpoint) => Some((endpoint, user)),
            None => (!self.is_shared()).then(|| (Arc::clone(&self.first), user)),
        }
    }
}

impl Door for Listener {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn slots(&self) -> &Arc<Semaphore> {
        &self.slots
    }

    fn arrivals(&self) -> &Arc<Arrivals> {
        &self.first.services.arrivals
    }

    async fn session(self: Arc<Self>, socket: TcpStream, waiting: Waiting) {
        caller::serve(self, socket, waiting).await;
    }

    async fn turn_away(mut socket: TcpStream, full: Full) -> io::Result<()> {
        // RFC 4253 §4.2: lines before the version may say something.
        let line: &[u8] = match full {
            Full::Sessions => b"doorward: too many sessions on this connection\r\n",
            Full::Address => b"doorward: too many log-ins from your address at once\r\n",
        };
        socket.write_all(line).await
    }
}
