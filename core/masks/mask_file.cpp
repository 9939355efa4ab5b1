#include "core/masks/mask_file.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/masks/formats/mask_format.h"

namespace headscope {
namespace {

// In the order of recognition: a format that tells itself by a name inside the file comes before one that is told by
// the form of its content.
std::vector<const masks::MaskFormat*> formats() {
  return {&masks::headscopeFormat(), &masks::safetensorsFormat(), &masks::bertologyFormat(),
          &masks::transformerLensFormat(), &masks::prunedHeadsFormat()};
}

const masks::MaskFormat& formatOf(MaskKind kind) {
  for (const masks::MaskFormat* format : formats()) {
    if (format->kind == kind) {
      return *format;
    }
  }
  throw Error("", concat("the mask format ", maskKindName(kind), " is unknown"));
}

const masks::MaskFormat& recognise(const masks::MaskInput& input) {
  for (const masks::MaskFormat* format : formats()) {
    if (format->recognises(input)) {
      return *format;
    }
  }
  input.fail("is of no mask format that is known here (--from KIND says which one it is meant to be)");
}

void warnOfLostLayers(MaskDocument& document) {
  const auto perLayer = static_cast<std::size_t>(document.entries());
  if (document.axis == MaskAxis::Layer || document.keep.empty()) {
    return;
  }
  for (std::size_t at = 0; at < document.keep.size(); at += perLayer) {
    const auto first = document.keep.begin() + static_cast<std::ptrdiff_t>(at);
    if (std::all_of(first, first + static_cast<std::ptrdiff_t>(perLayer),
                    [](std::uint8_t keep) { return keep == 0; })) {
      document.warnings.push_back(concat("layer ", at / perLayer, " loses every head"));
    }
  }
}

}  // namespace

MaskDocument readMask(const std::filesystem::path& path, const MaskHints& hints) {
  const masks::MaskInput input(path);
  const masks::MaskFormat& format = hints.kind ? formatOf(*hints.kind) : recognise(input);
  MaskDocument document = format.read(input, hints);
  document.kind = format.kind;
  if (hints.axis && *hints.axis != document.axis) {
    input.fail(concat("is on the ", maskAxisName(document.axis), " axis, not ", maskAxisName(*hints.axis)));
  }
  warnOfLostLayers(document);
  return document;
}

void writeMask(const std::filesystem::path& path, MaskKind kind, const MaskDocument& document,
               const MaskWriteOptions& options) {
  const masks::MaskFormat& format = formatOf(kind);
  if (format.write == nullptr) {
    throw Error(path.string(), concat("can't be written: ", maskKindName(kind), " is only read"), ErrorKind::Usage);
  }
  format.write(path, document, options);
}

}  // namespace headscope
