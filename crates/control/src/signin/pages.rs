//! The few pages of signing in. No script, nothing from elsewhere; every text that came in is escaped.
use super::form::encoded;
use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use doorward_model::Principal;

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Text as HTML shows it, also within quotes.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - Doorward</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/auth/style.css\"></head><body><main><p class=\"brand\">Doorward</p><h1>{title}</h1>{body}</main></body></html>"
    );
    // `same-origin`, not `no-referrer`: under that browsers send `Origin: null` with our own forms.
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "same-origin")];
    (status, headers, Html(html)).into_response()
}

pub(super) fn choose<'a>(providers: impl Iterator<Item = &'a str>, return_to: &str) -> Response {
    let link = |name: &str| {
        let to = format!("/auth/login/{}?return_to={}", encoded(name), encoded(return_to));
        format!("<li><a class=\"button\" href=\"{}\">Continue with {}</a></li>", escaped(&to), escaped(name))
    };
    let links: String = providers.map(link).collect();
    let body = if links.is_empty() {
        "<p>No identity provider is set up: add <code>[[identity.providers]]</code> to <code>doorward.toml</code>. The \
         first administrator signs in with the <a href=\"/auth/bootstrap\">code that was printed at the first start</a>; started with <code>DOORWARD_BOOTSTRAP=again</code> the gateway prints a new one.</p>"
            .to_owned()
    } else {
        format!("<ul>{links}</ul>")
    };
    page(StatusCode::OK, "Sign in", &body)
}

pub(super) fn bootstrap(code: &str) -> Response {
    let body = format!(
        "<p>For the first administrator: the code that the gateway printed when it was started for the first time. It \
         is good once.</p><form method=\"post\" action=\"/auth/bootstrap\"><label for=\"code\">Code</label>\
         <input id=\"code\" name=\"code\" value=\"{}\" required autocomplete=\"off\" spellcheck=\"false\">\
         <button>Sign in</button></form>",
        escaped(code)
    );
    page(StatusCode::OK, "First sign-in", &body)
}

pub(super) fn failed(status: StatusCode, why: &str) -> Response {
    let body = format!("<p role=\"alert\">{}</p><p><a href=\"/auth/login\">Begin again</a></p>", escaped(why));
    page(status, "Not signed in", &body)
}

/// Asks whether a program on this machine may act as the visitor.
pub(super) fn confirm_cli(who: &Principal, port: u16, challenge: &str, state: &str) -> Response {
    let field =
        |name: &str, value: &str| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    let fields = [field("port", &port.to_string()), field("challenge", challenge), field("state", state)].concat();
    let body = format!(
        "<p>A program on <strong>this computer</strong> wants to act as <strong>{}</strong>. Go on only if you have just \
         run <code>doorward login</code> here.</p><form method=\"post\" action=\"/auth/cli\">{fields}\
         <button>Let it</button></form>",
        escaped(&who.id())
    );
    page(StatusCode::OK, "Sign in the command line", &body)
}

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{margin:0;display:grid;min-height:100vh;place-items:center}
main{width:min(26rem,90vw)}
.brand{font-weight:700;letter-spacing:.02em;opacity:.7;margin:0}
h1{margin:.25rem 0 1rem}
ul{list-style:none;padding:0}
li{margin:.75rem 0}
label{display:block;margin-bottom:.25rem}
input{width:100%;box-sizing:border-box;font:inherit;padding:.5rem}
.button,button{display:block;width:100%;box-sizing:border-box;margin-top:.75rem;padding:.6rem 1rem;font:inherit;
text-align:center;text-decoration:none;border:1px solid currentColor;border-radius:.4rem;background:none;color:inherit;
cursor:pointer}
";

pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_came_in_are_inert() {
        assert_eq!(escaped("<a href='x' b=\"y\">&"), "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;");
    }
}
