//! Random numbers for the tags of entries.

/// Returns `count` random numbers of the operating system.
///
/// # Errors
///
/// The operating system provides no random numbers.
pub(crate) fn random_numbers(count: usize) -> Result<Vec<u64>, getrandom::Error> {
    let mut bytes = vec![0; count * 8];
    getrandom::fill(&mut bytes)?;
    let (numbers, _) = bytes.as_chunks::<8>();
    Ok(numbers.iter().map(|number| u64::from_be_bytes(*number)).collect())
}

/// Returns one random number.
///
/// # Errors
///
/// The operating system provides no random numbers.
pub(crate) fn random_number() -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}
