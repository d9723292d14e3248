pub fn examine(_cap: u32) -> String {
    String::new()
}
