//! Basic authentication that cannot be used to burn the processor or to find out users.
//!
//! A bcrypt verification is meant to be slow (about 50 ms at cost 10). So one at a time is made,
//! on a thread of its own; its result is kept; and only so many may wait, so many from one address,
//! that somebody else's login gets its turn. An unknown user is verified all the same, at the
//! cost of a known user's, and refused whatever comes of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use ring::{hmac, rand};
use tokio::sync::Semaphore;

use super::settings::WebSettings;

/// Logins that may wait for their verification.
const WAITING_MAX: usize = 64;
/// Of these from one address.
const WAITING_PER_ADDRESS_MAX: usize = 4;
/// Results kept: of refused logins the newest, of accepted ones until there are too many.
const RESULTS_MAX: usize = 1024;

/// Salt and hash that unknown users are verified against.
const DUMMY: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// What came of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    Accepted,
    Refused,
    /// Too many wait for their verification.
    Busy,
}

/// Results of verifications, and who waits for one.
#[derive(Debug)]
pub(super) struct Logins {
    /// Results are kept under a keyed hash: no password stays in memory.
    key: hmac::Key,
    turn: Arc<Semaphore>,
    state: Mutex<State>,
}

type Tag = [u8; 32];

#[derive(Debug, Default)]
struct State {
    accepted: HashSet<Tag>,
    refused: HashSet<Tag>,
    /// The refused ones, oldest first.
    order: VecDeque<Tag>,
    waiting: HashMap<Option<IpAddr>, usize>,
}

impl Logins {
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(super) fn new() -> Result<Self, ring::error::Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?;
        Ok(Self { key, turn: Arc::new(Semaphore::new(1)), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies the `Authorization` of a request from `address`.
    pub(super) async fn verify(
        &self,
        settings: &WebSettings,
        header: Option<&HeaderValue>,
        address: Option<IpAddr>,
    ) -> Login {
        let Some((user, password)) = header.and_then(credentials) else { return Login::Refused };
        let known = settings.users.get(&user);
        let hash = known.cloned().unwrap_or_else(|| self.dummy(settings, &user));
        let tag = self.tag(&[user.as_bytes(), hash.as_bytes(), &password]);
        if let Some(known) = self.state().result(&tag) {
            return known;
        }
        let Some(_waiting) = Waiting::begin(self, address) else { return Login::Busy };
        // Fails only if the semaphore is closed, which nobody does.
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return Login::Busy };
        if let Some(known) = self.state().result(&tag) {
            return known;
        }
        let is_known = known.is_some();
        let verified = tokio::task::spawn_blocking(move || {
            // Held by the work and not by the request: the client may go, the work goes on.
            let _turn = turn;
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        let Ok(is_right) = verified.await else { return Login::Busy };
        self.state().keep(tag, is_known && is_right)
    }

    /// A hash for a user who is not there, at the cost of one who is: always the same one for the
    /// same name, so that the time does not tell.
    fn dummy(&self, settings: &WebSettings, user: &str) -> String {
        let tag = self.tag(&[b"dummy", user.as_bytes()]);
        let [first, second, ..] = tag;
        let index = usize::from(u16::from_le_bytes([first, second])) % settings.users.len().max(1);
        let somebody = settings.users.values().nth(index);
        let cost = somebody.and_then(|hash| hash.parse::<bcrypt::HashParts>().ok());
        format!("$2y${:02}${DUMMY}", cost.map_or(10, |parts| parts.get_cost()))
    }

    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            // With the lengths, so that no two lists of parts are the same bytes.
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut tag = Tag::default();
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }
}

impl State {
    fn result(&self, tag: &Tag) -> Option<Login> {
        if self.accepted.contains(tag) {
            return Some(Login::Accepted);
        }
        self.refused.contains(tag).then_some(Login::Refused)
    }

    fn keep(&mut self, tag: Tag, is_accepted: bool) -> Login {
        if is_accepted {
            // Apart from the refused ones: a flood of bad logins leaves the good ones known.
            if self.accepted.len() >= RESULTS_MAX {
                self.accepted.clear();
            }
            self.accepted.insert(tag);
            return Login::Accepted;
        }
        if self.refused.insert(tag) {
            self.order.push_back(tag);
        }
        if self.order.len() > RESULTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.refused.remove(&oldest);
        }
        Login::Refused
    }
}

/// A login that waits for its verification; no longer when it is dropped.
struct Waiting<'a> {
    logins: &'a Logins,
    address: Option<IpAddr>,
}

impl<'a> Waiting<'a> {
    fn begin(logins: &'a Logins, address: Option<IpAddr>) -> Option<Self> {
        let mut state = logins.state();
        let all: usize = state.waiting.values().sum();
        let own = state.waiting.entry(address).or_default();
        if all >= WAITING_MAX || *own >= WAITING_PER_ADDRESS_MAX {
            if *own == 0 {
                state.waiting.remove(&address);
            }
            return None;
        }
        *own += 1;
        Some(Self { logins, address })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.logins.state();
        if let Some(own) = state.waiting.get_mut(&self.address) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                state.waiting.remove(&self.address);
            }
        }
    }
}

/// User and password of `Basic` credentials (RFC 7617).
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at_checked(colon)?;
    let password = password.strip_prefix(b":")?;
    Some((String::from_utf8_lossy(user).into_owned(), password.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// "password" at cost 4, by `htpasswd -nbBC 4 alice password`.
    const HASH: &str = "$2y$04$";

    fn settings(users: &[(&str, String)]) -> WebSettings {
        let users = users.iter().map(|(user, hash)| ((*user).to_owned(), hash.clone())).collect();
        WebSettings { users, ..WebSettings::default() }
    }

    fn hash(version: &str, password: &str) -> String {
        let hash = bcrypt::hash_with_salt(password, 4, *b"sixteen bytes ok").expect("a hash");
        hash.to_string().replacen("$2b$", version, 1)
    }

    fn header(user: &str, password: &str) -> HeaderValue {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        HeaderValue::from_str(&format!("Basic {encoded}")).expect("ASCII")
    }

    fn verify(logins: &Logins, settings: &WebSettings, header: Option<&HeaderValue>) -> Login {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(logins.verify(settings, header, None))
    }

    #[test]
    fn every_version_of_bcrypt_and_nothing_else_is_accepted() {
        assert!(hash("$2y$", "x").starts_with(HASH));
        let logins = Logins::new().expect("random numbers");
        for version in ["$2a$", "$2b$", "$2y$"] {
            let settings = settings(&[("alice", hash(version, "pass:word"))]);
            for (user, password, expected) in [
                ("alice", "pass:word", Login::Accepted),
                ("alice", "pass", Login::Refused),
                ("alice", "", Login::Refused),
                ("bob", "pass:word", Login::Refused),
                ("", "", Login::Refused),
            ] {
                // The second time from what is kept.
                for _ in 0..2 {
                    let header = header(user, password);
                    assert_eq!(verify(&logins, &settings, Some(&header)), expected, "{user}");
                }
            }
        }
        let settings = settings(&[("alice", hash("$2y$", "x"))]);
        assert_eq!(verify(&logins, &settings, None), Login::Refused);
        for bad in ["", "Basic", "Basic !", "Bearer YWxpY2U6eA==", "Basic YWxpY2U", "Basic\tYQ=="] {
            let bad = HeaderValue::from_str(bad).expect("ASCII");
            assert_eq!(verify(&logins, &settings, Some(&bad)), Login::Refused, "{bad:?}");
        }
    }

    #[test]
    fn a_changed_hash_ends_what_was_accepted() {
        let logins = Logins::new().expect("random numbers");
        let old = settings(&[("alice", hash("$2y$", "old"))]);
        let new = settings(&[("alice", hash("$2y$", "new"))]);
        let header = header("alice", "old");
        assert_eq!(verify(&logins, &old, Some(&header)), Login::Accepted);
        assert_eq!(verify(&logins, &new, Some(&header)), Login::Refused);
        assert_eq!(verify(&logins, &old, Some(&header)), Login::Accepted);
    }

    #[test]
    fn an_unknown_user_costs_what_a_known_one_does() {
        let logins = Logins::new().expect("random numbers");
        let two = settings(&[("a", hash("$2y$", "x")), ("b", "$2y$12$".to_owned() + DUMMY)]);
        let mut costs = HashSet::new();
        for user in 0..100 {
            let dummy = logins.dummy(&two, &user.to_string());
            assert_eq!(dummy, logins.dummy(&two, &user.to_string()), "always the same");
            costs.insert(dummy.parse::<bcrypt::HashParts>().expect("a hash").get_cost());
        }
        assert_eq!(costs, HashSet::from([4, 12]));
    }

    #[test]
    fn one_address_leaves_room_for_another() {
        let logins = Logins::new().expect("random numbers");
        let address = |last| Some(IpAddr::from(Ipv4Addr::new(127, 0, 0, last)));
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        while let Some(one) = Waiting::begin(&logins, address(1)) {
            waiting.push(one);
        }
        assert_eq!(waiting.len(), WAITING_PER_ADDRESS_MAX);
        assert!(Waiting::begin(&logins, address(2)).is_some());
        for last in 2..=255 {
            waiting.extend(Waiting::begin(&logins, address(last)));
        }
        assert_eq!(waiting.len(), WAITING_MAX);
        assert!(Waiting::begin(&logins, None).is_none());
        drop(waiting);
        assert!(logins.state().waiting.is_empty());
    }

    #[test]
    fn a_flood_of_bad_logins_is_forgotten_and_the_good_one_is_not() {
        let logins = Logins::new().expect("random numbers");
        let good = logins.tag(&[b"good"]);
        let mut state = logins.state();
        state.keep(good, true);
        for number in 0..3 * RESULTS_MAX {
            state.keep(logins.tag(&[&number.to_le_bytes()]), false);
        }
        assert_eq!(state.result(&good), Some(Login::Accepted));
        assert_eq!((state.refused.len(), state.order.len()), (RESULTS_MAX, RESULTS_MAX));
    }
}
