//! A disk is optional: a description with it, and what may be wrong with that.

use strait_system::{Settings, System, check};

const PLAIN: &str = include_str!("good.system");

/// `good.system` with a block driver.
fn with_disk() -> String {
    let mut text = PLAIN.to_string();
    for (before, insert) in [
        (
            "    <memory_region name=\"pl011\"",
            r#"    <memory_region name="virtio_blk" size="0x1000" phys_addr="0xa001000"/>
    <memory_region name="blk_queue" size="0x3000"/>
    <memory_region name="blk_data" size="0x80000"/>
    <memory_region name="blk_driver_dma" size="0x4000"/>
    <memory_region name="blk_driver_config" size="0x1000" prefill_path="config/blk_driver.bin"/>
    <memory_region name="blk_driver_log" size="0x1000"/>
"#,
        ),
        (
            "    <protection_domain name=\"timer_driver\"",
            r#"    <protection_domain name="blk_driver" priority="105">
        <program_image path="blk_driver.elf"/>
        <map mr="blk_driver_config" vaddr="0x18_0000_0000" perms="r" setvar_vaddr="strait_config"/>
        <map mr="blk_driver_log" vaddr="0x18_0001_0000" perms="rw"/>
        <map mr="virtio_blk" vaddr="0x18_0002_0000" perms="rw" cached="false"/>
        <map mr="blk_queue" vaddr="0x18_0003_0000" perms="rw"/>
        <map mr="blk_driver_dma" vaddr="0x18_0004_0000" perms="rw"/>
        <map mr="blk_data" vaddr="0x18_0010_0000" perms="r"/>
        <irq irq="56" id="0"/>
        <setvar symbol="blk_driver_dma_paddr" region_paddr="blk_driver_dma"/>
        <setvar symbol="blk_data_paddr" region_paddr="blk_data"/>
    </protection_domain>
"#,
        ),
        (
            "        <map mr=\"vfs_archive\"",
            "        <map mr=\"blk_queue\" vaddr=\"0x18_0003_0000\" perms=\"rw\"/>\n        <map mr=\"blk_data\" vaddr=\"0x18_0010_0000\" perms=\"rw\"/>\n",
        ),
        (
            "    <channel><end pd=\"console\" id=\"0\"/>",
            "    <channel><end pd=\"console\" id=\"40\"/><end pd=\"blk_driver\" id=\"2\"/></channel>\n    <channel><end pd=\"vfs_server\" id=\"40\" pp=\"true\"/><end pd=\"blk_driver\" id=\"1\"/></channel>\n",
        ),
    ] {
        let at = text.find(before).unwrap_or_else(|| panic!("{before} is not there"));
        text.insert_str(at, insert);
    }
    let console = text.find("console.elf\"/>\n").unwrap() + "console.elf\"/>\n".len();
    text.insert_str(console, "        <map mr=\"blk_driver_log\" vaddr=\"0x18_0001_0000\" perms=\"rw\"/>\n");
    text.replacen("\"vfs_server_heap\" size=\"0x400000\"", "\"vfs_server_heap\" size=\"0x1000000\"", 1)
}

fn problems(text: &str) -> Vec<String> {
    let system = System::parse(text, "s").unwrap();
    let settings = Settings::parse("[echo]\nport = 2007\n[httpd]\nport = 2080\n", "t").unwrap();
    check(&system, &settings).iter().map(|p| p.text.clone()).collect()
}

#[track_caller]
fn refused(from: &str, to: &str, text: &str) {
    let whole = with_disk();
    assert!(whole.contains(from), "{from:?} is not there");
    let found = problems(&whole.replacen(from, to, 1));
    assert!(found.iter().any(|t| t.contains(text)), "wanted {text:?}, got {found:#?}");
    assert!(found.len() <= 3, "{found:#?}");
}

#[test]
fn with_and_without() {
    assert_eq!(problems(PLAIN), [""; 0]);
    assert_eq!(problems(&with_disk()), [""; 0]);
}

#[test]
fn the_server_must_reach_the_driver_that_is_there() {
    let server = "        <map mr=\"blk_queue\" vaddr=\"0x18_0003_0000\" perms=\"rw\"/>\n        <map mr=\"blk_data\" vaddr=\"0x18_0010_0000\" perms=\"rw\"/>";
    refused(server, "", "PD `vfs_server` must map the region `blk_queue`");
    refused("id=\"40\" pp=\"true\"", "id=\"40\"", "`vfs_server` must be able to call blk_driver");
    refused(
        "<map mr=\"blk_data\" vaddr=\"0x18_0010_0000\" perms=\"rw\"/>",
        "<map mr=\"blk_data\" vaddr=\"0x18_0010_0000\" perms=\"r\"/>",
        "write perms=\"rw\"",
    );
}

#[test]
fn the_driver_gets_no_more_and_no_less() {
    refused("\"0x18_0010_0000\" perms=\"r\"/>", "\"0x18_0010_0000\" perms=\"rw\"/>", "write perms=\"r\"");
    refused("irq=\"56\"", "irq=\"47\"", "interrupt 47 is not that of a device in the page of `virtio_blk`");
    refused(
        "<setvar symbol=\"blk_data_paddr\" region_paddr=\"blk_data\"/>",
        "",
        "needs the physical address of `blk_data`",
    );
    refused(
        "blk_data\" size=\"0x80000\"",
        "blk_data\" size=\"0x81000\"",
        "size of `blk_data` must be a multiple of 0x4000",
    );
    let echo = "<program_image path=\"echo.elf\"/>";
    let nosy = format!("{echo}<map mr=\"blk_data\" vaddr=\"0x18_0010_0000\" perms=\"rw\"/>");
    refused(echo, &nosy, "`blk_data` is for blk_driver and vfs_server alone");
}
