//! Pages: their sizes, and tokens that the caller gives back as they came.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, SPIFFE_ID_BYTES_MAX};
use crate::store::PageToken;

use super::BadField;

/// Parses `page_size`: the default when 0.
///
/// # Errors
/// When it is negative or above the bound. It is refused and not clipped: a script should know.
pub fn size(given: i32) -> Result<usize, BadField> {
    match usize::try_from(given) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) if size <= PAGE_SIZE_MAX => Ok(size),
        Ok(_) | Err(_) => {
            Err(BadField::new("page_size", format!("1 to {PAGE_SIZE_MAX}, or 0 for {PAGE_SIZE_DEFAULT}")))
        }
    }
}

/// What a bad page token is told.
pub fn bad_token() -> BadField {
    BadField::new("page_token", "a token from the last answer, unchanged, or none")
}

/// The token that stands for "after `key`".
pub fn token(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key of a page token; `None` for the first page.
///
/// # Errors
/// When it is not one of ours.
pub fn key(token: &str) -> Result<Option<Vec<u8>>, BadField> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > SPIFFE_ID_BYTES_MAX * 2 {
        return Err(bad_token());
    }
    URL_SAFE_NO_PAD.decode(token).map(Some).map_err(|_| bad_token())
}

/// The key of a page token that stands for a text.
///
/// # Errors
/// When it is not one of ours.
pub fn text_key(token: &str) -> Result<Option<String>, BadField> {
    key(token)?.map(|bytes| String::from_utf8(bytes).map_err(|_| bad_token())).transpose()
}

/// The page token of a list of credentials.
///
/// # Errors
/// When it is not one of the store's.
pub fn credentials(token: &str) -> Result<Option<PageToken>, BadField> {
    if token.is_empty() { Ok(None) } else { token.parse().map(Some).map_err(|_| bad_token()) }
}

/// One page of `items`, which are sorted by `key`: those after `after`, and the token of the next page,
/// which is empty at the end.
pub fn cut<T>(items: Vec<T>, after: Option<&str>, size: usize, key: impl Fn(&T) -> &str) -> (Vec<T>, String) {
    let mut rest =
        items.into_iter().skip_while(|item| after.is_some_and(|after| key(item) <= after)).peekable();
    let page: Vec<T> = rest.by_ref().take(size).collect();
    let more = rest.peek().is_some();
    let next = page.last().filter(|_| more).map(|last| token(key(last).as_bytes()));
    (page, next.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_size_is_held_to_its_bounds() {
        assert_eq!(size(0), Ok(100));
        assert_eq!(size(1), Ok(1));
        assert_eq!(size(1000), Ok(1000));
        for bad in [-1, 1001, i32::MAX, i32::MIN] {
            assert_eq!(size(bad).unwrap_err().field, "page_size");
        }
    }

    #[test]
    fn a_token_round_trips_and_others_are_named() {
        assert_eq!(text_key(&token(b"spiffe://x")), Ok(Some("spiffe://x".to_owned())));
        assert_eq!(text_key(""), Ok(None));
        let long = "A".repeat(1_000_000);
        for bad in ["%", "a b", "=", &long, &token(&[0xff, 0xfe])] {
            assert_eq!(text_key(bad).unwrap_err().field, "page_token");
        }
    }

    #[test]
    fn pages_cover_everything_once() {
        let all: Vec<String> = (0..7).map(|n| format!("a{n}")).collect();
        let (mut seen, mut after) = (Vec::new(), None);
        for _ in 0..10 {
            let (page, next) = cut(all.clone(), after.as_deref(), 3, |item| item);
            assert!(page.len() <= 3);
            seen.extend(page);
            after = text_key(&next).unwrap();
            if next.is_empty() {
                break;
            }
        }
        assert_eq!(seen, all);
    }
}
