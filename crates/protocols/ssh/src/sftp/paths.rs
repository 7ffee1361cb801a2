//! The names of files, as policies see them: absolute, or below the home directory (`~`, `~/x`).
use doorward_model::Name;

/// The longest path, in bytes: Linux takes no longer one (`PATH_MAX`).
pub(super) const LONGEST_PATH: usize = 4096;

/// A path as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: Name,
    /// Why the name may not be the file's.
    pub(super) unclear: Option<&'static str>,
    /// Whether it is unclear through `..` alone.
    pub(super) climbs: bool,
}

/// Why a path is turned away before anyone decides on it.
pub(super) fn unusable(path: &[u8]) -> Option<&'static str> {
    if path.len() > LONGEST_PATH {
        Some("a path longer than 4096 bytes")
    } else if path.contains(&0) {
        Some("a path with a zero byte")
    } else {
        None
    }
}

/// Text of a peer's, fit for a log: control characters spelt out.
pub(super) fn shown(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for c in String::from_utf8_lossy(path).chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Names a path that the server takes as it is: `~` is a file like any other there, and what is relative is
/// below the directory that a session starts in.
pub(super) fn named(path: &[u8]) -> Named {
    let text = String::from_utf8_lossy(path);
    let (root, rest) = match text.strip_prefix('/') {
        Some(rest) => ("", rest),
        None => ("~", text.as_ref()),
    };
    let mut unclear = std::str::from_utf8(path).err().map(|_| "a path that is not UTF-8");
    if text.contains(char::is_control) {
        unclear = unclear.or(Some("a path with control characters"));
    }
    let mut parts: Vec<&str> = Vec::new();
    let (mut climbed, mut escaped) = (false, false);
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            // Behind a symbolic link, `..` is not the directory before it.
            ".." => {
                climbed = true;
                escaped |= parts.pop().is_none() && root == "~";
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if root.is_empty() && is_alias(&joined, &parts) {
        unclear = unclear.or(Some("a path through links of the kernel's"));
    }
    if escaped {
        unclear = unclear.or(Some("a path that climbs out of the home directory"));
    }
    let climbs = climbed && unclear.is_none();
    let unclear = unclear.or(climbed.then_some("a path with `..`"));
    let name = if escaped {
        format!("~/{text}")
    } else {
        match (root, joined.is_empty()) {
            ("~", true) => "~".to_owned(),
            (_, true) => "/".to_owned(),
            _ => format!("{root}/{joined}"),
        }
    };
    Named { name: name.into(), unclear, climbs }
}

/// Names through which any file has many more.
fn is_alias(joined: &str, parts: &[&str]) -> bool {
    let through = parts.iter().any(|p| matches!(*p, "root" | "cwd" | "fd" | "map_files" | "exe"));
    (joined.starts_with("proc/") && through) || joined.starts_with("dev/fd/")
}

/// Names a path in which the server expands `~` (`expand-path@openssh.com`).
pub(super) fn expanded(path: &[u8]) -> Named {
    match path.strip_prefix(b"~") {
        Some([]) => named(b""),
        Some([b'/', rest @ ..]) => {
            let relative: Vec<u8> = rest.iter().copied().skip_while(|b| *b == b'/').collect();
            named(&relative)
        }
        Some(_) => Named { unclear: Some("a path in another user's home directory"), climbs: false, ..named(path) },
        None => named(path),
    }
}

/// Names the target of a symbolic link: what is relative is below the link's directory.
pub(super) fn target(link: &[u8], target: &[u8]) -> Named {
    if target.starts_with(b"/") {
        return named(target);
    }
    let directory = link.iter().rposition(|b| *b == b'/').and_then(|n| link.get(..=n)).unwrap_or_default();
    named(&[directory, target].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &[u8], name: &str, unclear: bool) {
        let named = named(path);
        assert_eq!((&*named.name, named.unclear.is_some()), (name, unclear), "{}", shown(path));
    }

    #[test]
    fn one_file_has_one_name() {
        check(b"//etc/./passwd/", "/etc/passwd", false);
        check(b"a//b/.", "~/a/b", false);
        check(b"", "~", false);
        check(b".", "~", false);
        check(b"/", "/", false);
        check(b"~/x", "~/~/x", false);
        check(b"~", "~/~", false);
    }

    #[test]
    fn what_may_be_another_file_is_unclear() {
        check(b"/srv/../etc/passwd", "/etc/passwd", true);
        check(b"a/../b", "~/b", true);
        check(b"../../etc/passwd", "~/../../etc/passwd", true);
        check(b"/a\nb", "/a\nb", true);
        check(b"/a\xff", "/a\u{fffd}", true);
        check(b"/proc/self/root/etc/shadow", "/proc/self/root/etc/shadow", true);
        check(b"/dev/fd/3", "/dev/fd/3", true);
        assert!(named(b"/a/../b").climbs && !named(b"/a/../b\n").climbs && !named(b"../x").climbs);
    }

    #[test]
    fn a_links_target_is_below_its_directory() {
        assert_eq!(&*target(b"/srv/link", b"x").name, "/srv/x");
        assert_eq!(&*target(b"link", b"x").name, "~/x");
        assert_eq!(&*target(b"/link", b"/etc/x").name, "/etc/x");
        assert!(target(b"/srv/link", b"../x").unclear.is_some());
    }

    #[test]
    fn a_tilde_is_expanded_only_where_the_server_does() {
        assert_eq!(&*expanded(b"~").name, "~");
        assert_eq!(&*expanded(b"~//x").name, "~/x");
        assert_eq!(&*expanded(b"/x").name, "/x");
        assert!(expanded(b"~root/x").unclear.is_some());
    }
}
