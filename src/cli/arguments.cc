// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/user_path.h"

namespace tl {
namespace {

// Breaks lines at spaces.
std::string Wrap(const std::string& text, size_t width) {
  std::string out;
  size_t column = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (column + 1 + word.size() > width) {
      out += '\n';
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    absl::StrAppend(&out, word);
    column += word.size();
  }
  return out;
}

// A check of CLI11: no message where the text is a number of at least this.
template <typename T>
auto AtLeast(T least) {
  return [least](const std::string& text) {
    T value{};
    const bool ok = CLI::detail::lexical_cast(text, value) && value >= least;
    return ok ? std::string() : absl::StrCat("expected at least ", least, ", found ", text);
  };
}

// Shows an option's type and default as "INT=16", whatever the version of CLI11.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    if (option->get_type_size() == 0) return text;
    absl::StrAppend(&text, " ", option->get_type_name());
    if (const std::string value = option->get_default_str(); !value.empty())
      absl::StrAppend(&text, "=", value);
    if (option->get_expected_max() == CLI::detail::expected_max_vector_size) text += " ...";
    if (option->get_required()) text += " REQUIRED";
    return text;
  }
};

}  // namespace

absl::StatusOr<std::string> Unescaped(const std::string& option, const std::string& text) {
  std::string out, error;
  if (absl::CUnescape(text, &out, &error)) return out;
  return absl::InvalidArgumentError(
      absl::StrCat(option, " ", text,
                   ": expected a text with C's escapes, \\\\ for a backslash; found: ", error));
}

struct Arguments::Impl {
  // Makes a path of every text that the value is given.
  void ReadAsPath(const std::string& name) {
    paths.insert(name);
    app.get_option(name)->transform(CLI::Validator(
        [](std::string& text) {
          const absl::StatusOr<std::string> path = UserPath(text);
          if (path.ok()) text = *path;
          return std::string(path.status().message());
        },
        "", "path"));
  }

  CLI::App app;
  std::string command;
  std::set<std::string> paths;
  std::map<std::string, std::vector<std::string>> words;
};

Arguments::Arguments(const std::string& command, const std::string& about,
                     const std::string& example)
    : impl_(new Impl) {
  impl_->command = command;
  impl_->app.name("trunkline " + command);
  impl_->app.description(Wrap(about, 96) + "\n");
  impl_->app.footer("Example:\n" + example);
  impl_->app.formatter(std::make_shared<HelpFormatter>());
  impl_->app.get_formatter()->column_width(34);
}

Arguments::~Arguments() = default;

Arguments& Arguments::Positional(const std::string& name, std::string* value,
                                 const std::string& help) {
  impl_->app.add_option(name, *value, help)->required();
  return *this;
}

Arguments& Arguments::Positional(const std::string& name, std::vector<std::string>* values,
                                 const std::string& help) {
  impl_->app.add_option(name, *values, help)->required();
  return *this;
}

Arguments& Arguments::Option(const std::string& name, std::string* value, const std::string& help,
                             Need need) {
  CLI::Option* option = impl_->app.add_option(name, *value, help);
  if (need == Need::kRequired) {
    option->required();
  } else if (!value->empty()) {
    option->capture_default_str();
  }
  return *this;
}

Arguments& Arguments::Option(const std::string& name, std::vector<std::string>* values,
                             const std::string& help) {
  impl_->app.add_option(name, *values, help)->allow_extra_args(false);
  return *this;
}

Arguments& Arguments::Option(const std::string& name, int64_t* value, int64_t least,
                             const std::string& help) {
  impl_->app.add_option(name, *value, help)
      ->capture_default_str()
      ->type_name("INT")
      ->check(AtLeast(least));
  return *this;
}

Arguments& Arguments::Option(const std::string& name, double* value, double least,
                             const std::string& help) {
  impl_->app.add_option(name, *value, help)
      ->capture_default_str()
      ->type_name("NUMBER")
      ->check(AtLeast(least));
  return *this;
}

Arguments& Arguments::PathPositional(const std::string& name, std::string* value,
                                     const std::string& help) {
  Positional(name, value, help);
  impl_->ReadAsPath(name);
  return *this;
}

Arguments& Arguments::PathPositional(const std::string& name, std::vector<std::string>* values,
                                     const std::string& help) {
  Positional(name, values, help);
  impl_->ReadAsPath(name);
  return *this;
}

Arguments& Arguments::PathOption(const std::string& name, std::string* value,
                                 const std::string& help, Need need) {
  Option(name, value, help, need);
  impl_->ReadAsPath(name);
  return *this;
}

Arguments& Arguments::PathOption(const std::string& name, std::vector<std::string>* values,
                                 const std::string& help) {
  Option(name, values, help);
  impl_->ReadAsPath(name);
  return *this;
}

Arguments& Arguments::Flag(const std::string& name, bool* given, const std::string& help) {
  impl_->app.add_flag(name, *given, help);
  return *this;
}

Arguments& Arguments::Overrides(std::vector<std::string>* overrides) {
  impl_->app
      .add_option("--set", *overrides,
                  "Override keys of the config; `trunkline help config` lists them")
      ->allow_extra_args(false)
      ->type_name("SECTION.KEY=VALUE");
  return *this;
}

Arguments& Arguments::Words(const std::string& name, std::vector<std::string> words) {
  impl_->words[impl_->app.get_option(name)->get_name()] = std::move(words);
  return *this;
}

absl::StatusOr<Arguments::Outcome> Arguments::Parse(absl::Span<const std::string> args) {
  // Every value after --set gets a --set of its own, so that a path after them stays a path.
  std::vector<std::string> list;
  bool setting = false;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    const bool after_set = i > 0 && args[i - 1] == "--set";
    const bool more =
        setting && !after_set && !absl::StartsWith(arg, "-") && absl::StrContains(arg, "=");
    if (more) list.emplace_back("--set");
    setting = arg == "--set" || after_set || more;
    list.push_back(arg);
  }
  std::reverse(list.begin(), list.end());  // as CLI11 takes them
  try {
    impl_->app.parse(std::move(list));
  } catch (const CLI::CallForHelp&) {
    return Outcome::kHelp;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(error.what(), "; see `trunkline ", impl_->command, " --help`"));
  }
  return Outcome::kRun;
}

std::vector<std::pair<std::string, std::vector<std::string>>> Arguments::Options() const {
  std::vector<std::pair<std::string, std::vector<std::string>>> options;
  for (const CLI::Option* option : impl_->app.get_options()) {
    if (option->get_positional() || option == impl_->app.get_help_ptr()) continue;
    options.emplace_back(option->get_name(), option->results());
  }
  return options;
}

std::string Arguments::help() const { return impl_->app.help(); }

std::vector<ArgumentOutline> Arguments::Outline() const {
  std::vector<ArgumentOutline> outline;
  for (const CLI::Option* option : impl_->app.get_options()) {
    const std::string name = option->get_name();
    const bool takes_nothing = option->get_items_expected_max() == 0;
    ArgumentOutline argument = {.name = name, .help = option->get_description()};
    argument.value = takes_nothing                 ? ArgumentOutline::Value::kNone
                     : name == "--set"             ? ArgumentOutline::Value::kSetting
                     : impl_->paths.contains(name) ? ArgumentOutline::Value::kPath
                                                   : ArgumentOutline::Value::kText;
    if (const auto found = impl_->words.find(name); found != impl_->words.end())
      argument.words = found->second;
    argument.many = option->get_items_expected_max() > 1;
    outline.push_back(std::move(argument));
  }
  std::stable_partition(outline.begin(), outline.end(),
                        [](const ArgumentOutline& a) { return a.is_option(); });
  return outline;
}

}  // namespace tl
