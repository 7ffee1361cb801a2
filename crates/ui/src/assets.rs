//! Files that pages refer to, compiled in.
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// A file for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Where it is served: `/assets/<hash>/<name>`.
    pub url: String,
    /// Its media type.
    pub kind: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    name: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    vec![
        Asset::new("app.css", STYLE, include_bytes!("../assets/app.css")),
        Asset::new("theme.js", SCRIPT, include_bytes!("../assets/theme.js")),
        Asset::new("app.js", SCRIPT, include_bytes!("../assets/app.js")),
        Asset::new("editor.js", SCRIPT, include_bytes!("../assets/editor.js")),
        Asset::new("player.js", SCRIPT, include_bytes!("../assets/player.js")),
        Asset::new("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg")),
        Asset::new("htmx.js", SCRIPT, include_bytes!("../assets/vendor/htmx.min.js")),
        Asset::new("sse.js", SCRIPT, include_bytes!("../assets/vendor/htmx-ext-sse.min.js")),
        Asset::new("asciinema-player.js", SCRIPT, include_bytes!("../assets/vendor/asciinema-player.min.js")),
        Asset::new("asciinema-player.css", STYLE, include_bytes!("../assets/vendor/asciinema-player.css")),
    ]
});

impl Asset {
    fn new(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Self {
        let hash: String = hex::encode(Sha256::digest(bytes)).chars().take(16).collect();
        Self { url: format!("/assets/{hash}/{name}"), kind, bytes, name }
    }
}

/// The URL of an asset, for templates. A name that is not there gives an address that is not found.
pub fn asset(name: &str) -> &'static str {
    ASSETS.iter().find(|a| a.name == name).map_or("/assets/none", |a| a.url.as_str())
}

/// The asset that is served at this path.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|a| a.url == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_found_by_its_url_and_by_no_other() {
        let url = asset("app.css");
        assert!(url.starts_with("/assets/") && url.ends_with("/app.css"), "{url}");
        assert_eq!(find(url).unwrap().kind, STYLE);
        assert_eq!(find("/assets/0000000000000000/app.css"), None);
        assert_eq!(find("/assets/../app.css"), None);
    }

    #[test]
    fn no_template_has_a_script_or_a_style_of_its_own() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let mut folders = vec![std::path::PathBuf::from(folder)];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for bad in [" style=", "<style", "<script>", " onclick", " onload", "hx-on", "javascript:", "|safe"] {
                    assert!(!text.contains(bad), "{bad} in {}", path.display());
                }
                for part in text.split("asset(\"").skip(1) {
                    let name = part.split('"').next().unwrap();
                    assert_ne!(asset(name), "/assets/none", "{name} in {}", path.display());
                }
                seen += 1;
            }
        }
        assert!(seen > 5);
    }
}
