//! The description of the interface: what is said besides the endpoints.
use super::{BASE, repeat};
use crate::types::ProblemDetails;
use utoipa::openapi::{
    Components, Info, License, ObjectBuilder, OpenApi, Required, SecurityRequirement, Type,
    path::{Operation, ParameterBuilder, ParameterIn, Paths},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa::{PartialSchema as _, ToSchema as _};

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
        item.post.iter_mut().for_each(may_be_repeated);
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
    // Every endpoint refers to it.
    let mut errors = vec![(ProblemDetails::name().into_owned(), ProblemDetails::schema())];
    ProblemDetails::schemas(&mut errors);
    all.components.get_or_insert_with(Components::new).schemas.extend(errors);
    let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    all.components.get_or_insert_with(Components::new).security_schemes.insert("token".to_owned(), token.into());
    all
}

/// Every POST takes a key under which its answer is kept.
fn may_be_repeated(operation: &mut Operation) {
    let word = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128));
    let key = ParameterBuilder::new()
        .name(repeat::KEY.as_str())
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "a word of yours for this request: sent again within 24 hours by the same caller, it gets the first answer \
             again and does nothing twice. With another request: 422. A restart of the gateway forgets it",
        ))
        .schema(Some(word.pattern(Some("^[!-~]+$"))))
        .build();
    operation.parameters.get_or_insert_with(Vec::new).push(key.into());
}
