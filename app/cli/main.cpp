#include "app/cli/command.h"

int main(int argc, char** argv) {
  using namespace headscope::cli;
  CommandLine line;
  addInfo(line);
  addTokenize(line);
  addDetokenize(line);
  addRun(line);
  addMap(line);
  addRope(line);
  addAnalyze(line);
  addGallery(line);
  addReplay(line);
  addGenerate(line);
  addMask(line);
  addVerify(line);
  addDevices(line);
  addPerplexity(line);
  addPruneOrder(line);
  return line.execute(argc, argv);
}
