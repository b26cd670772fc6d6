#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tl {

struct Arguments::Impl {
  CLI::App app;
  std::string command;
};

Arguments::Arguments(const std::string& command, const std::string& about,
                     const std::string& example)
    : impl_(new Impl) {
  impl_->command = command;
  impl_->app.name("trunkline " + command);
  impl_->app.description(about);
  impl_->app.footer("\nExample:\n" + example);
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
      ->check(
          CLI::Range(least, std::numeric_limits<int64_t>::max(), absl::StrCat("at least ", least)));
  return *this;
}

Arguments& Arguments::Option(const std::string& name, double* value, double least,
                             const std::string& help) {
  impl_->app.add_option(name, *value, help)
      ->capture_default_str()
      ->type_name("NUMBER")
      ->check(
          CLI::Range(least, std::numeric_limits<double>::max(), absl::StrCat("at least ", least)));
  return *this;
}

Arguments& Arguments::Overrides(std::vector<std::string>* overrides) {
  impl_->app
      .add_option("--set", *overrides,
                  "Override keys of the config; `trunkline help config` lists them")
      ->allow_extra_args(false)
      ->type_name("SECTION.KEY=VALUE ...");
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
    if (more) list.push_back("--set");
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

std::string Arguments::help() const { return impl_->app.help(); }

}  // namespace tl
