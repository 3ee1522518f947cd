//! What a value has to be before it may travel: one JSON object.

mod json_object;
mod pointer;

pub use json_object::{Fault, Layout, MAX_DEPTH, NotAnObject, check};
pub use pointer::{Pointer, PointerError};

/// The most characters of a value that an error shows.
pub const CLIPPED_CHARACTERS: usize = 120;

/// A value as an error may show it: at most [`CLIPPED_CHARACTERS`] characters, bytes that are not UTF-8 and control
/// characters as escapes, and how much was left out.
pub fn clipped(value: &[u8]) -> String {
    // Four bytes a character at the most, so that a huge value is not scanned for its first line.
    let window = &value[..value.len().min(CLIPPED_CHARACTERS * 4)];
    let mut shown = String::with_capacity(CLIPPED_CHARACTERS + 32);
    let (mut characters, mut taken) = (0, 0);
    'chunks: for chunk in window.utf8_chunks() {
        for character in chunk.valid().chars() {
            let escape = character.is_control() || is_invisible(character);
            let width = if escape { character.escape_unicode().count() } else { 1 };
            if characters + width > CLIPPED_CHARACTERS {
                break 'chunks;
            }
            if escape {
                shown.extend(character.escape_unicode());
            } else {
                shown.push(character);
            }
            characters += width;
            taken += character.len_utf8();
        }
        for byte in chunk.invalid() {
            if characters + 4 > CLIPPED_CHARACTERS {
                break 'chunks;
            }
            shown.push_str("\\x");
            shown.extend([byte >> 4, byte & 15].map(hex_digit));
            characters += 4;
            taken += 1;
        }
    }
    if taken < value.len() {
        shown = format!("{shown}… ({} bytes in all)", value.len());
    }
    shown
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('?')
}

/// Characters that would let a value change how the rest of the line is displayed (bidirectional overrides, zero
/// width, line and paragraph separators).
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_value_is_shown_as_it_is() {
        assert_eq!(clipped(r#"{"名":"张三"}"#.as_bytes()), r#"{"名":"张三"}"#);
        assert_eq!(clipped(b""), "");
    }

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(clipped(b"a\x1b[31m\nb"), r"a\u{1b}[31m\u{a}b");
        assert_eq!(clipped("\u{202e}x".as_bytes()), r"\u{202e}x");
        assert_eq!(clipped(b"\xff\x00\xe5\xbc"), r"\xff\u{0}\xe5\xbc");
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let value = "长".repeat(1000);
        let shown = clipped(value.as_bytes());
        assert_eq!(shown, format!("{}… (3000 bytes in all)", "长".repeat(CLIPPED_CHARACTERS)));
        let noise = vec![0xffu8; 5000];
        assert!(clipped(&noise).chars().count() < CLIPPED_CHARACTERS + 32);
    }
}
