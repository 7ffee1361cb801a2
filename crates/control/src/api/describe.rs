//! The description of the interface: what is said besides the endpoints.
use super::BASE;
use utoipa::openapi::{
    Components, Info, License, OpenApi, SecurityRequirement,
    path::Paths,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// Puts the endpoints together: those of `closed` need a bearer token.
pub(super) fn whole(open: OpenApi, closed: OpenApi) -> OpenApi {
    let mut info = Info::new("Doorward", "1");
    info.description = Some(
        "The administration interface of the gateway. What a caller may do is decided by the policies; errors are \
         problem details (RFC 9457); times are microseconds since 1970, UTC."
            .to_owned(),
    );
    info.license = Some(License::new("Apache-2.0"));
    let mut all = OpenApi::new(info, Paths::new());
    let mut closed = closed;
    for item in closed.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
        }
    }
    for part in [open, closed] {
        for (path, item) in part.paths.paths {
            all.paths.paths.insert(format!("{BASE}{path}"), item);
        }
        if let Some(components) = part.components {
            all.components.get_or_insert_with(Components::new).schemas.extend(components.schemas);
        }
    }
    let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    all.components.get_or_insert_with(Components::new).security_schemes.insert("token".to_owned(), token.into());
    all
}
