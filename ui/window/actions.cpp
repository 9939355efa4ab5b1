#include "ui/window/actions.h"

#include <QWidget>

#include "ui/window/line_icon.h"

namespace headscope::ui {
namespace {

const char* const kMenuKey = "menu";
const char* const kSeparatorKey = "separatorBefore";
const char* const kKeysKey = "keys";

}  // namespace

const std::vector<ActionSpec>& actionSpecs() {
  static const std::vector<ActionSpec> specs{
      {"open-file", "File", "&Open model, capture or session…", "Ctrl+O", false, "file", false,
       "A .gguf file, a capture (.safetensors), a session, or a text as prompt"},
      {"open-folder", "File", "Open model &folder…", "Ctrl+Shift+O", false, "open", false,
       "A Hugging Face folder with config.json and safetensors"},
      {"open-demo", "File", "Open &demo model", "", false, "demo", false, "The small model that comes with Headscope"},
      {"open-gallery", "File", "Open &gallery of constructed heads", "Ctrl+Shift+G", false, "", false,
       "One head for each of TAPPA's cases, built from its theorem"},
      {"save-session", "-File", "&Save session", "Ctrl+S", false, "save", false,
       "Model, prompt, view, flags and notes as one file"},
      {"save-session-as", "File", "Save session &as…", "Ctrl+Shift+S", false, "", false, ""},
      {"save-capture", "File", "Save &capture…", "", false, "", false,
       "Queries, keys and log-sum-exp of this run as one safetensors file"},
      {"export-mask", "-File", "&Export mask…", "Ctrl+E", false, "export", false, "Flags as a pruning mask"},
      {"import-mask", "File", "&Import mask…", "Ctrl+I", false, "import", false, "A mask file as flags; can be undone"},
      {"save-map", "-File", "Save &map as PNG…", "Ctrl+P", false, "picture", false,
       "The map with axes, curves and colour bar"},
      {"save-window", "File", "Save &window as PNG…", "Ctrl+Shift+P", false, "", false, "The whole window as it is"},
      {"quit", "-File", "&Quit", "Ctrl+Q", false, "", false, ""},

      {"undo", "Edit", "&Undo", "Ctrl+Z", false, "undo", false, "Flags and notes"},
      {"redo", "Edit", "&Redo", "Ctrl+Shift+Z Ctrl+Y", false, "redo", false, "Flags and notes"},
      {"flag", "-Edit", "&Flag or unflag head", "Space", true, "flag", false, "Propose the selected head for pruning"},
      {"note", "Edit", "Write &note", "N", false, "", false, "Goes to the note of the selected head"},
      {"next-flag", "Edit", "&Next flag", "]", false, "", false, ""},
      {"previous-flag", "Edit", "&Previous flag", "[", false, "", false, ""},
      {"clear-flags", "Edit", "Remove &all flags", "", false, "trash", false, "Can be undone"},

      {"edit-prompt", "Run", "&Edit prompt", "Ctrl+L", false, "text", false, ""},
      {"load-prompt", "Run", "&Load prompt from file…", "Ctrl+T", false, "", false, "A UTF-8 text file"},
      {"run", "-Run", "&Run", "Ctrl+Return F5", false, "run", false, "Prefill with capture of queries and keys"},
      {"stop", "Run", "&Stop", "Ctrl+.", false, "stop", false, "Stops every job"},
      {"continue", "Run", "&Continue the text by 20 tokens", "Ctrl+Shift+Return", false, "", false,
       "Greedy; appears grey behind the text"},
      {"score-retrieval", "-Run", "Score &retrieval on needle prompts", "Ctrl+R", false, "", false,
       "Which heads copy a sentence from far back; the run in view stays"},

      {"head-left", "Heads", "Head to the &left", "Left", true, "", false, ""},
      {"head-right", "Heads", "Head to the &right", "Right", true, "", false, ""},
      {"head-up", "Heads", "Head &above", "Up", true, "", false, ""},
      {"head-down", "Heads", "Head &below", "Down", true, "", false, ""},
      {"previous-alike", "-Heads", "&Previous head like this", ",", false, "", false, "Of the same case"},
      {"next-alike", "Heads", "&Next head like this", ".", false, "similar", false, "Of the same case"},
      {"filter", "-Heads", "&Filter heads", "/", false, "filter", false, "For example sink>0.5, L3, flagged"},
      {"clear-filter", "Heads", "&Show all heads", "Shift+Esc", false, "", false, ""},
      {"replay-move", "-Heads", "Replay the paper: &move the dominant channel", "M", false, "", false,
       "To channel 2, then 3, then 5, then back; period predicted and measured in the Head panel"},
      {"replay-base", "Heads", "Replay the paper: lower the RoPE &base", "B", false, "", false,
       "To a tenth, then back; period predicted and measured in the Head panel"},
      {"original", "Heads", "&Original head (no interventions)", "O", false, "reset", false, ""},

      {"value", "Map", "&Value: probability or logit", "V", false, "", false, ""},
      {"pooling", "Map", "&Pooling: max, mean, mass", "P", false, "", false, ""},
      {"color-map", "Map", "&Colour map", "C", false, "", false, ""},
      {"scale", "Map", "&Logarithmic or linear colours", "L", false, "", false, ""},
      {"fit", "-Map", "&Fit the whole map", "0", false, "fit", false, ""},
      {"one-to-one", "Map", "&One cell a pixel", "1", false, "cells", false, ""},
      {"zoom-in", "Map", "Zoom &in", "+ =", false, "", false, "At the cursor"},
      {"zoom-out", "Map", "Zoom &out", "-", false, "", false, "At the cursor"},
      {"pan-left", "Map", "Pan left", "Shift+Left", true, "", false, ""},
      {"pan-right", "Map", "Pan right", "Shift+Right", true, "", false, ""},
      {"pan-up", "Map", "Pan up", "Shift+Up", true, "", false, ""},
      {"pan-down", "Map", "Pan down", "Shift+Down", true, "", false, ""},
      {"go-token", "-Map", "&Go to token…", "G", false, "", false, "By number or by its text"},
      {"back", "Map", "&Back", "Alt+Left", false, "back", false, "To the view before"},
      {"forward", "Map", "Fo&rward", "Alt+Right", false, "forward", false, ""},
      {"unpin", "Map", "&Unpin cell", "Esc", true, "", false, ""},
      {"period-lines", "-Map", "&Ticks at the dominant channel's period", "D", false, "", true, ""},
      {"performance", "Map", "Frame &times", "", false, "", true, "In the status bar"},

      {"theme", "View", "&Light or dark theme", "Ctrl+Shift+T", false, "theme", false, ""},
      {"theme-system", "View", "Theme of the &system", "", false, "", true, ""},
      {"command", "-View", "&Command field", "Ctrl+K", false, "search", false, "Go anywhere, run anything"},
      {"strip-side", "View", "Text: row or col&umn", "T", false, "", false, "What colours the text"},
      {"full-screen", "View", "&Full screen", "F11", false, "", true, ""},
      {"reset-layout", "-View", "&Reset layout", "", false, "reset", false, "All docks where they were at first"},

      {"help", "Help", "&Help", "F1", false, "help", false, ""},
      {"keys", "Help", "&Keys", "?", false, "", false, ""},
      {"definitions", "Help", "&Definitions of all scores", "", false, "", false, ""},
      {"about", "-Help", "&About Headscope", "", false, "info", false, ""},
  };
  return specs;
}

Actions::Actions(QWidget* window) : QObject(window) {
  for (const ActionSpec& spec : actionSpecs()) {
    auto* action = new QAction(tr(spec.text), window);
    action->setObjectName(QString::fromLatin1(spec.name));
    const QString menu = QString::fromLatin1(spec.menu);
    const bool separator = menu.startsWith(QLatin1Char('-'));
    action->setProperty(kMenuKey, separator ? menu.mid(1) : menu);
    action->setProperty(kSeparatorKey, separator);
    QList<QKeySequence> keys;
    for (const QString& key : QString::fromLatin1(spec.keys).split(QLatin1Char(' '), Qt::SkipEmptyParts)) {
      keys.append(QKeySequence(key));
    }
    if (!keys.isEmpty()) {
      action->setProperty(kKeysKey, keys.first().toString(QKeySequence::NativeText));
    }
    if (spec.shownOnly) {
      action->setText(action->text() + QLatin1Char('\t') + keysOf(action));
    } else {
      action->setShortcuts(keys);
    }
    if (*spec.icon != '\0') {
      action->setIcon(lineIcon(QString::fromLatin1(spec.icon)));
    }
    action->setCheckable(spec.checkable);
    action->setStatusTip(tr(spec.help));
    window->addAction(action);
    byName_.insert(action->objectName(), action);
    order_.append(action);
  }
}

QAction* Actions::operator[](const char* name) const {
  QAction* action = byName_.value(QString::fromLatin1(name));
  Q_ASSERT_X(action != nullptr, "Actions", name);
  return action;
}

void Actions::on(const char* name, const std::function<void()>& slot) {
  connect((*this)[name], &QAction::triggered, this, slot);
}

QList<QAction*> Actions::ofMenu(const QString& menu) const {
  QList<QAction*> found;
  for (QAction* action : order_) {
    if (action->property(kMenuKey).toString() == menu) {
      if (action->property(kSeparatorKey).toBool()) {
        auto* separator = new QAction(action->parent());
        separator->setSeparator(true);
        found.append(separator);
      }
      found.append(action);
    }
  }
  return found;
}

QStringList Actions::menus() const {
  QStringList names;
  for (const QAction* action : order_) {
    const QString menu = action->property(kMenuKey).toString();
    if (!names.contains(menu)) {
      names.append(menu);
    }
  }
  return names;
}

QString Actions::keysOf(const QAction* action) {
  return action->property(kKeysKey).toString();
}

QString Actions::textOf(const QAction* action) {
  QString text = action->text().section(QLatin1Char('\t'), 0, 0);
  return text.remove(QLatin1Char('&'));
}

}  // namespace headscope::ui
