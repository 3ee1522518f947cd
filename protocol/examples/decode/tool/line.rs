//! A line of input: what it says about the frame, and the frame's bytes.

use bytes::Bytes;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::Direction;

/// What a line holds.
pub(crate) struct Line {
    /// The API, version and direction, if the line says them.
    pub(crate) said: Option<(ApiKey, i16, Direction)>,
    /// The frame, without its length prefix.
    pub(crate) frame: Bytes,
}

/// Reads a line. The error says what is wrong with it, never what is in it: it may hold a credential.
pub(crate) fn parse(line: &str) -> Result<Line, String> {
    let cells: Vec<&str> = line.split('\t').collect();
    match cells[..] {
        [hex] => Ok(Line { said: None, frame: unhex(hex)? }),
        [key, version, direction, hex] => {
            let key = key.parse().map_err(|_| "the first cell is no API key: a number is needed".to_owned())?;
            let version =
                version.parse().map_err(|_| "the second cell is no version: a number is needed".to_owned())?;
            let direction = match direction {
                "request" => Direction::Request,
                "response" => Direction::Response,
                _ => return Err("the third cell is neither request nor response".to_owned()),
            };
            Ok(Line { said: Some((ApiKey(key), version, direction)), frame: unhex(hex)? })
        }
        _ => Err(format!(
            "{} cells between tabs: one (hex) or four (key, version, direction, hex) are needed",
            cells.len()
        )),
    }
}

fn unhex(text: &str) -> Result<Bytes, String> {
    if let Some(at) = text.bytes().position(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("character {} of the hex is no hex digit", at + 1));
    }
    if !text.len().is_multiple_of(2) {
        return Err(format!("{} hex digits are no whole bytes", text.len()));
    }
    let digit = |c: u8| (c as char).to_digit(16).unwrap_or_default() as u8;
    Ok(text.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, c| byte << 4 | digit(*c))).collect())
}
