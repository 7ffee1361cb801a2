//! Open files and directories: what was decided when they were opened.
use super::{
    meaning::Rights,
    paths::Named,
    transfers::{Direction, Tally, Transfer},
};
use ahash::AHashMap;
use bytes::Bytes;
use doorward_enforce::StreamPermit;
use std::sync::Arc;

/// The most handles that are open at once.
pub const MOST_HANDLES: usize = 1000;

/// A handle's number in this session. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandleKey(u64);

/// What an allowed open was, until its handle comes.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) file: Named,
    /// `None` for a directory.
    pub(super) rights: Option<Rights>,
    pub(super) stream: StreamPermit,
}

/// An open file or directory.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: Named,
    pub(super) rights: Option<Rights>,
    pub(super) stream: StreamPermit,
    /// The upstream's name for it.
    pub(super) handle: Bytes,
    /// The client has asked to close it.
    pub(super) closing: bool,
    /// Why nothing may be read of it any more.
    pub(super) poisoned: Option<Arc<str>>,
    /// Why nothing may be done with it any more.
    pub(super) revoked: Option<Arc<str>>,
    pub(super) download: Tally,
    pub(super) upload: Tally,
}

impl Open {
    pub(super) fn readable(&self) -> bool {
        self.rights.is_some_and(|r| r.read)
    }

    pub(super) fn writable(&self) -> bool {
        self.rights.is_some_and(|r| r.write)
    }

    /// Why what was read may not be shown.
    pub(super) fn unreadable(&self) -> Option<&Arc<str>> {
        self.revoked.as_ref().or(self.poisoned.as_ref())
    }

    fn transfers(self, complete: bool) -> Vec<Transfer> {
        let Some(rights) = self.rights else { return Vec::new() };
        let path = self.file.name;
        let of = |direction, tally: Tally| tally.finish(Arc::clone(&path), direction, complete);
        let mut out = Vec::new();
        if self.download.bytes() > 0 || !rights.write {
            out.push(of(Direction::Download, self.download));
        }
        if self.upload.bytes() > 0 || rights.write {
            out.push(of(Direction::Upload, self.upload));
        }
        out
    }
}

/// All that is open.
#[derive(Debug, Default)]
pub(super) struct Handles {
    last: u64,
    open: AHashMap<HandleKey, Open>,
    by_name: AHashMap<Bytes, HandleKey>,
}

impl Handles {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes note of a handle. `None` where the upstream has given it for something else that is open.
    pub(super) fn opened(&mut self, handle: &[u8], opening: Opening) -> Option<HandleKey> {
        if self.by_name.contains_key(handle) {
            return None;
        }
        self.last += 1;
        let key = HandleKey(self.last);
        let Opening { file, rights, stream } = opening;
        let handle = Bytes::copy_from_slice(handle);
        self.by_name.insert(handle.clone(), key);
        let (poisoned, revoked) = (None, None);
        let (download, upload) = (Tally::default(), Tally::default());
        let closing = false;
        self.open.insert(key, Open { file, rights, stream, handle, closing, poisoned, revoked, download, upload });
        Some(key)
    }

    /// What the client means by a handle.
    pub(super) fn named(&self, handle: &[u8]) -> Option<(HandleKey, &Open)> {
        let key = *self.by_name.get(handle)?;
        Some((key, self.open.get(&key)?))
    }

    pub(super) fn of(&self, key: HandleKey) -> Option<&Open> {
        self.open.get(&key)
    }

    pub(super) fn of_mut(&mut self, key: HandleKey) -> Option<&mut Open> {
        self.open.get_mut(&key)
    }

    pub(super) fn keys(&self) -> Vec<HandleKey> {
        let mut keys: Vec<HandleKey> = self.open.iter().filter(|(_, o)| !o.closing).map(|(k, _)| *k).collect();
        keys.sort_unstable();
        keys
    }

    /// The client closes it: from here on the upstream may give its name to another.
    pub(super) fn closing(&mut self, key: HandleKey) {
        if let Some(open) = self.open.get_mut(&key) {
            open.closing = true;
            self.by_name.remove(&open.handle);
        }
    }

    /// The upstream has closed it.
    pub(super) fn closed(&mut self, key: HandleKey, complete: bool) -> Vec<Transfer> {
        self.open.remove(&key).map(|open| open.transfers(complete)).unwrap_or_default()
    }

    /// The channel has ended.
    pub(super) fn end(&mut self) -> Vec<Transfer> {
        self.by_name.clear();
        let mut all: Vec<(HandleKey, Open)> = self.open.drain().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().flat_map(|(_, open)| open.transfers(false)).collect()
    }
}
