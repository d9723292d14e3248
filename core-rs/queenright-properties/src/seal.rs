//! Seals: they open only for whom and what they were made.
use queenright_core::error::Result;
use queenright_core::seal::{KEY, OpenContext, SealContext, TAG, agent_keypair, keypair};

use crate::input::{Input, edit};

/// The first message of a new context.
fn seal(
    receiver: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    seed: &[u8; KEY],
) -> Result<([u8; KEY], Vec<u8>)> {
    let (mut context, encapsulated) = SealContext::new(receiver, info, seed)?;
    let mut ciphertext = Vec::new();
    context.seal(aad, &[plaintext], &mut ciphertext)?;
    Ok((encapsulated, ciphertext))
}

fn open(
    private_key: &[u8],
    encapsulated: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>> {
    OpenContext::new(private_key, encapsulated, info)?.open(0, aad, ciphertext)
}

/// Any encapsulated key and ciphertext: nothing that was not sealed opens, and any receiver's key is used or refused.
pub fn given(data: &[u8]) {
    let mut input = Input::new(data);
    let (private_key, _) = keypair(&[7; KEY]);
    let (receiver, encapsulated, info, aad, ciphertext) = (
        input.part(),
        input.part(),
        input.part(),
        input.part(),
        input.part(),
    );
    // The only bytes that open are those that somebody sealed for this key, whose public half no seed holds.
    assert!(
        open(&private_key[..], encapsulated, info, aad, ciphertext).is_err(),
        "bytes that nobody sealed were opened"
    );
    assert!(
        open(receiver, encapsulated, info, aad, &[]).is_err(),
        "no ciphertext at all was opened"
    );
    if let Ok((encapsulated, sealed)) = seal(receiver, info, aad, ciphertext, &[9; KEY]) {
        assert_eq!(receiver.len(), KEY, "a key of another length was used");
        assert_ne!(encapsulated, [0; KEY]);
        assert_eq!(sealed.len(), ciphertext.len() + TAG);
    }
}

/// A genuine seal with an edit anywhere: it opens only if nothing changed, to what was sealed.
pub fn made(data: &[u8]) {
    let mut input = Input::new(data);
    let (seed, generation) = (input.key(), input.number());
    let (private_key, public_key) =
        agent_keypair(input.part(), input.part(), generation).expect("any subkey is one");
    let (info, aad, plaintext) = (input.part(), input.part(), input.part());
    let (encapsulated, ciphertext) =
        seal(&public_key, info, aad, plaintext, &seed).expect("a genuine key is sealed to");
    let opened = open(&private_key[..], &encapsulated, info, aad, &ciphertext);
    assert_eq!(
        opened.as_deref(),
        Ok(plaintext),
        "a genuine seal did not open"
    );
    let mut parts = [
        encapsulated.to_vec(),
        info.to_vec(),
        aad.to_vec(),
        ciphertext,
    ];
    let genuine = parts.clone();
    while !input.is_empty() {
        let part = &mut parts[usize::from(input.byte() % 4)];
        *part = edit(part, &mut input);
    }
    let opened = open(&private_key[..], &parts[0], &parts[1], &parts[2], &parts[3]);
    assert_eq!(opened.is_ok(), parts == genuine, "an edited seal opened");
}
