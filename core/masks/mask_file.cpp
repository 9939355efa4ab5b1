#include "core/masks/mask_file.h"

#include "core/base/error.h"
#include "core/masks/formats/mask_format.h"

namespace headscope {
namespace {

// In the order of recognition: a format that tells itself by a name inside the file comes before one that is told by
// the form of its content.
std::vector<const masks::MaskFormat*> formats() {
  return {&masks::headscopeFormat(),       &masks::safetensorsFormat(),  &masks::bertologyFormat(),
          &masks::transformerLensFormat(), &masks::cofiFormat(),         &masks::blockConfigsFormat(),
          &masks::tappaScoresFormat(),     &masks::tappaOrderFormat(),   &masks::retrievalHeadFormat(),
          &masks::prunedHeadsFormat(),     &masks::qrHeadScoresFormat(), &masks::minferenceFormat(),
          &masks::mergekitFormat(),        &masks::qrHeadFormat(),       &masks::llamaCppFormat(),
          &masks::duoAttentionFormat(),    &masks::prulongFormat()};
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

}  // namespace

MaskDocument readMask(const std::filesystem::path& path, const MaskHints& hints) {
  const masks::MaskInput input(path);
  const masks::MaskFormat& format = hints.kind ? formatOf(*hints.kind) : recognise(input);
  MaskDocument document = format.read(input, hints);
  document.kind = format.kind;
  if (hints.axis && *hints.axis != document.axis) {
    input.fail(concat("is on the ", maskAxisName(document.axis), " axis, not ", maskAxisName(*hints.axis)));
  }
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
