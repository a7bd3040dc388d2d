//! Challenges: the `WWW-Authenticate` header (RFC 9110 section 11.6.1, distribution "Token Authentication").

use http_transfer::{Network, RefusedDestination, Url, check_redirect};

/// The way in which a registry wants requests to be authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer(BearerChallenge),
}

/// The source of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BearerChallenge {
    /// The token server.
    pub(crate) realm: Url,
    /// The name under which the token server knows the registry.
    pub(crate) service: Option<String>,
    /// The scope that the registry suggests.
    pub(crate) scope: Option<String>,
}

/// Reads the challenges in the values of a response's headers and chooses one: Bearer before Basic.
///
/// # Errors
///
/// In words, if no challenge can be met, or the token server must not get credentials.
pub(crate) fn choose<'a>(
    registry: &Url,
    network: Network,
    values: impl IntoIterator<Item = &'a str>,
) -> Result<Challenge, String> {
    let mut basic = false;
    let mut problem = None;
    for value in values {
        // A malformed header can stand beside a good one.
        let Ok(challenges) = http_auth::parse_challenges(value) else { continue };
        for challenge in challenges {
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                match bearer(registry, network, &challenge.params) {
                    Ok(bearer) => return Ok(Challenge::Bearer(bearer)),
                    Err(reason) => problem = Some(reason),
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = true;
            }
        }
    }
    match problem {
        Some(reason) => Err(reason),
        None if basic => Ok(Challenge::Basic),
        None => Err("the registry does not say how to authenticate".to_owned()),
    }
}

fn bearer(
    registry: &Url,
    network: Network,
    parameters: &[(&str, http_auth::ParamValue<'_>)],
) -> Result<BearerChallenge, String> {
    let find = |name: &str| {
        let found = parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
    };
    let realm = find("realm").ok_or("the registry names no token server")?;
    let refuse = |reason: RefusedDestination| format!("the token server `{realm}` is refused: {reason}");
    let url = Url::parse(&realm).map_err(|_| refuse(RefusedDestination::NotUrl))?;
    check_redirect(registry, network, &url).map_err(refuse)?;
    Ok(BearerChallenge { realm: url, service: find("service"), scope: find("scope") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(registry: &str, values: &[&str]) -> Result<Challenge, String> {
        let registry = Url::parse(registry).unwrap();
        choose(&registry, Network::of(&registry), values.iter().copied())
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let ghcr =
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull""#;
        let Ok(Challenge::Bearer(bearer)) = chosen("https://ghcr.io/v2/", &[ghcr]) else { panic!() };
        assert_eq!(bearer.realm.as_str(), "https://ghcr.io/token");
        assert_eq!(bearer.service.as_deref(), Some("ghcr.io"));
        assert_eq!(bearer.scope.as_deref(), Some("repository:user/image:pull"));
        assert_eq!(chosen("https://r.example/", &[r#"Basic realm="x y""#]), Ok(Challenge::Basic));
        let both = [r#"Basic realm="x", Bearer realm="https://t.example/""#];
        assert!(matches!(chosen("https://r.example/", &both), Ok(Challenge::Bearer(_))));
        let apart = ["garbage,,", r#"bearer Realm="https://t.example/""#];
        assert!(matches!(chosen("https://r.example/", &apart), Ok(Challenge::Bearer(_))));
    }

    #[test]
    fn credentials_go_to_no_unsafe_token_server() {
        for (registry, value, reason) in [
            ("https://r.example/", r#"Bearer realm="http://t.example/token""#, "https to http"),
            ("https://r.example/", r#"Bearer realm="https://127.0.0.1/token""#, "private network"),
            ("https://r.example/", r#"Bearer realm="/token""#, "expected a URL"),
            ("https://r.example/", r#"Bearer service="x""#, "no token server"),
            ("https://r.example/", r#"Basic realm="x", Bearer realm="ftp://t.example""#, "neither http"),
            ("https://r.example/", "Negotiate", "does not say how"),
        ] {
            let error = chosen(registry, &[value]).unwrap_err();
            assert!(error.contains(reason), "{value}: {error}");
        }
        let loopback = [r#"Bearer realm="http://127.0.0.1:5109/token""#];
        assert!(chosen("http://127.0.0.1:5101/", &loopback).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(Bearer |Basic )?[a-z=\", :/\\\\]{0,60}|\\PC{0,60}") {
            let _ = chosen("https://r.example/", &[text.as_str()]);
        }
    }
}
