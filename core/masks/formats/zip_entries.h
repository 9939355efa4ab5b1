#pragma once

// The files inside a ZIP archive, as far as torch.save writes them: stored, not compressed. Every offset is checked
// against the archive, every entry against its CRC-32.

#include <map>
#include <string>
#include <string_view>

namespace headscope::masks {

using ZipEntries = std::map<std::string, std::string_view, std::less<>>;

/// Name → content, pointing into `archive`. Throws Error naming `where`.
ZipEntries zipEntries(std::string_view archive, const std::string& where);

}  // namespace headscope::masks
