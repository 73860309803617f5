//! Which keys verify tokens, and which key may verify which token?
