//! Who may ask: the one place every request passes, whichever way it came.
//!
//! Users of this host are known by the Unix socket ([`Peer`]). Over TCP a request must carry the password if
//! there is one. Nothing a browser sends at the wish of a foreign page is taken: such requests say where the
//! page is from (`Origin`), or name a host that is not this one (DNS rebinding).
//!
//! Invariant: neither the password nor what was tried in its place is kept, logged or answered.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONNECTION, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tracing::warn;

use super::{error::ApiError, pace, peer::Peer};

/// How often an address may fail in a row.
const TRIES: u32 = 10;
/// How long until it may fail once more.
const TRY_PERIOD: Duration = Duration::from_secs(6);
/// Addresses whose failures are remembered.
const ADDRESSES: usize = 1024;

/// What a password is compared by.
#[derive(Clone, Copy)]
pub(super) struct Password([u8; 32]);

/// Lets requests in, or not.
#[derive(Debug)]
pub(super) struct Gate {
    /// What must be known over TCP.
    password: Option<Password>,
    /// Over TCP the certificate shows who is asked; without one the name has to.
    sealed: bool,
    failures: Mutex<BTreeMap<IpAddr, Failures>>,
}

/// The failures of one address that still count.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    /// Since when one failure more is forgotten.
    since: Instant,
}

impl Password {
    pub(super) fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Compares in a time that tells nothing about either.
    fn is(&self, tried: &[u8]) -> bool {
        let tried: [u8; 32] = Sha256::digest(tried).into();
        self.0.ct_eq(&tried).into()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Gate {
    pub(super) fn new(password: Option<Password>, sealed: bool) -> Self {
        Self { password, sealed, failures: Mutex::default() }
    }

    fn judge(&self, peer: &Peer, headers: &HeaderMap, now: Instant) -> Result<(), Box<Response>> {
        match peer {
            Peer::Local => Ok(()),
            Peer::Stranger(user) => {
                let message = format!("user {user} of this host may not use the socket of snapd");
                let help =
                    "only root, the user of snapd and the group of the socket may, be one of them";
                let refusal = ApiError::new(StatusCode::FORBIDDEN, "not-allowed", message);
                Err(Box::new(refusal.help(help).into_response()))
            }
            Peer::Remote(address) => {
                self.is_no_page(headers).map_err(|error| Box::new(error.into_response()))?;
                self.knows_password(*address, headers, now)
            }
        }
        .map_err(|refusal| Box::new(closing(*refusal)))
    }

    /// Refuses what a page in a browser sends from elsewhere.
    fn is_no_page(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let forbidden = |code, message: &str| ApiError::new(StatusCode::FORBIDDEN, code, message);
        if headers.contains_key(ORIGIN) {
            let message = "pages in a browser may not ask this API";
            return Err(forbidden("wrong-origin", message).help("use snapctl or another program"));
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.sealed || is_here(host) {
            return Ok(());
        }
        let message = "the request names a host that this API does not answer for";
        Err(forbidden("wrong-host", message).help("ask for `localhost` or the IP address"))
    }

    fn knows_password(
        &self,
        address: SocketAddr,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Box<Response>> {
        let Some(password) = &self.password else { return Ok(()) };
        if let Some(rest) = self.blocked(address.ip(), now) {
            let message = "too many wrong passwords from this address";
            let help = format!("try again in {} s", rest.as_secs() + 1);
            let refusal = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too-many-tries", message);
            let mut response = refusal.help(help).into_response();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rest.as_secs() + 1));
            return Err(Box::new(response));
        }
        let given = headers.get(AUTHORIZATION);
        if given.and_then(tried).is_some_and(|tried| password.is(&tried)) {
            return Ok(());
        }
        let (code, message) = match given {
            None => ("no-password", "snapd asks for a password"),
            Some(_) => {
                self.failed(address.ip(), now);
                warn!(%address, "a wrong password for the control API");
                ("wrong-password", "the password is wrong")
            }
        };
        let help = "name the file that has it with `--password-file FILE` or SNAP_PASSWORD_FILE";
        let refusal = ApiError::new(StatusCode::UNAUTHORIZED, code, message).help(help);
        let mut response = refusal.into_response();
        let ask = HeaderValue::from_static("Basic realm=\"snapd\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, ask);
        Err(Box::new(response))
    }

    /// How long an address is not listened to.
    fn blocked(&self, ip: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let left = failures.get(&of_one_host(ip))?.forgiven(now);
        (left.count >= TRIES).then(|| TRY_PERIOD.saturating_sub(now.duration_since(left.since)))
    }

    fn failed(&self, ip: IpAddr, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let ip = of_one_host(ip);
        let before = failures.get(&ip).map(|failures| failures.forgiven(now));
        if before.is_none() && failures.len() >= ADDRESSES {
            failures.retain(|_, failures| failures.forgiven(now).count > 0);
        }
        if before.is_none() && failures.len() >= ADDRESSES {
            let oldest = failures.iter().min_by_key(|(_, failures)| failures.since);
            if let Some(oldest) = oldest.map(|(ip, _)| *ip) {
                failures.remove(&oldest);
            }
        }
        let Failures { count, since } =
            before.filter(|before| before.count > 0).unwrap_or(Failures { count: 0, since: now });
        failures.insert(ip, Failures { count: count + 1, since });
    }
}

impl Failures {
    /// What is left of them.
    fn forgiven(self, now: Instant) -> Self {
        let periods = now.duration_since(self.since).as_secs() / TRY_PERIOD.as_secs();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX).min(self.count);
        Self { count: self.count - periods, since: self.since + TRY_PERIOD * periods }
    }
}

/// Lets a request in, or answers it here.
pub(super) async fn admit(
    State(gate): State<Arc<Gate>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(refusal) = gate.judge(&peer, request.headers(), Instant::now()) {
        return *refusal;
    }
    match peer {
        Peer::Remote(_) => next.run(request.map(pace::paced)).await,
        _ => next.run(request).await,
    }
}

/// Whoever is refused has to connect anew, and may not send a body that nobody wants.
fn closing(mut refusal: Response) -> Response {
    refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    refusal
}

/// The password that a header gives, `Basic` with any user or `Bearer`.
fn tried(header: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, rest) = header.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.as_bytes().to_vec());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Does this name only this host, whatever a name server says?
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let plain = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || plain.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whoever has one IPv6 address has a whole network of them.
fn of_one_host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse";

    fn asks(gate: &Gate, ip: &str, headers: &[(&str, &str)], now: Instant) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in [("host", "localhost:8181")].iter().chain(headers) {
            let name: axum::http::HeaderName = name.parse().unwrap();
            map.insert(name, value.parse().unwrap());
        }
        let peer = Peer::Remote(SocketAddr::new(ip.parse().unwrap(), 4711));
        gate.judge(&peer, &map, now).map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
    }

    fn with_password(sealed: bool) -> Gate {
        Gate::new(Some(Password::new(PASSWORD)), sealed)
    }

    #[test]
    fn the_password_is_taken_in_two_forms() {
        let gate = with_password(false);
        let check = |value: &str, expected| {
            let found = asks(&gate, "127.0.0.1", &[("authorization", value)], Instant::now());
            assert_eq!(found, expected, "{value}");
        };
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        check(&basic("snap:correct horse"), 200);
        check(&basic(":correct horse"), 200);
        check(&basic("correct horse"), 401);
        check(&basic("snap:correct horse "), 401);
        check("bearer correct horse", 200);
        check("Bearer correct", 401);
        check("Basic !!!", 401);
        check("Digest correct horse", 401);
        check("correct horse", 401);
        assert_eq!(asks(&gate, "127.0.0.1", &[], Instant::now()), 401);
    }

    #[test]
    fn wrong_passwords_are_slowed_down_for_each_address_alone() {
        let (gate, start) = (with_password(true), Instant::now());
        let wrong = [("authorization", "Bearer wrong")];
        let right = [("authorization", "Bearer correct horse")];
        for _ in 0..TRIES {
            assert_eq!(asks(&gate, "2001:db8::1", &wrong, start), 401);
        }
        assert_eq!(asks(&gate, "2001:db8::2", &wrong, start), 429);
        assert_eq!(asks(&gate, "2001:db8::1", &right, start), 429);
        assert_eq!(asks(&gate, "10.0.0.1", &right, start), 200);
        let later = start + TRY_PERIOD;
        assert_eq!(asks(&gate, "2001:db8::1", &wrong, later), 401);
        assert_eq!(asks(&gate, "2001:db8::1", &right, later), 429);
        assert_eq!(asks(&gate, "2001:db8::1", &right, later + TRY_PERIOD), 200);
    }

    #[test]
    fn failures_of_many_addresses_take_bounded_room() {
        let (gate, now) = (with_password(true), Instant::now());
        for n in 0..3 * u16::try_from(ADDRESSES).unwrap() {
            gate.failed(IpAddr::from([10, 0, (n >> 8) as u8, n as u8]), now);
        }
        assert_eq!(gate.failures.lock().unwrap().len(), ADDRESSES);
    }

    #[test]
    fn without_a_certificate_only_this_host_is_asked_for() {
        let gate = Gate::new(None, false);
        let check = |host: &str, expected| {
            assert_eq!(
                asks(&gate, "127.0.0.1", &[("host", host)], Instant::now()),
                expected,
                "{host}"
            );
        };
        for host in ["localhost", "LOCALHOST:8181", "127.0.0.1:8181", "127.8.8.8", "[::1]:8181"] {
            check(host, 200);
        }
        let foreign = [
            "evil.example:8181",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "[::2]",
            "localhost@evil",
        ];
        for host in foreign {
            check(host, 403);
        }
        let sealed = Gate::new(None, true);
        assert_eq!(asks(&sealed, "10.0.0.1", &[("host", "i1.example")], Instant::now()), 200);
        for gate in [gate, sealed] {
            let origin = [("origin", "https://evil.example")];
            assert_eq!(asks(&gate, "127.0.0.1", &origin, Instant::now()), 403);
        }
    }

    #[test]
    fn a_stranger_on_the_socket_is_refused() {
        let gate = Gate::new(None, false);
        let judged = |peer| gate.judge(&peer, &HeaderMap::new(), Instant::now());
        assert!(judged(Peer::Local).is_ok());
        assert_eq!(judged(Peer::Stranger(65534)).unwrap_err().status(), 403);
    }
}
