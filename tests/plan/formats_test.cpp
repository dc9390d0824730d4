#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/core/random.h>
#include <cpd/plan/groups.h>
#include <cpd/plan/plan.h>
#include <cpd/plan/report.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

using ::testing::HasSubstr;

/// The `number`th example under the heading of a file in docs/formats.md.
std::string example(const std::string& file, int number = 0) {
  const std::string docs = read_file(std::string(CPD_TEST_DATA) + "/../../docs/formats.md");
  size_t at = docs.find("## " + file);
  EXPECT_NE(at, std::string::npos) << file;
  const std::string fence = "```json\n";
  for (int i = 0; i <= number; ++i) at = docs.find(fence, at) + fence.size();
  return docs.substr(at, docs.find("```", at) - at);
}

std::string with(const std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return std::string(text).replace(at, from.size(), to);
}

template <typename Read>
std::string message_of(Read read) {
  try {
    read();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

const std::string kUnit = "a_(0, 4)_out_1_in_1";

TEST(Choices, OfTheDocumentationAreRead) {
  EXPECT_EQ(choices_from_json(example("choices.json")), (Choices{{kUnit, 0.5}}));
  EXPECT_EQ(choices_from_json(example("choices.json", 1)), (Choices{{kUnit, int64_t{2}}}));
}

TEST(Choices, KeepRatiosAndNumbersApart) {
  const Choices choices = {{"a", 1.0}, {"b", int64_t{1}}, {"c", 0.1}};
  EXPECT_EQ(choices_from_json(to_json(choices)), choices);
  EXPECT_EQ(to_json(choices), "{\n \"a\": 1.0,\n \"b\": 1,\n \"c\": 0.1\n}\n");
}

TEST(Choices, RefuseWhatNoUnitCanHave) {
  for (const char* value : {"-1", "1.5", "0.0", "-0.5", "\"0.5\"", "null", "true"}) {
    const std::string message =
        message_of([&] { choices_from_json("{\"conv\": " + std::string(value) + "}"); });
    EXPECT_THAT(message, HasSubstr("conv: the value is " + std::string(value)));
    EXPECT_THAT(message, HasSubstr("expected a ratio in (0, 1]"));
  }
  EXPECT_EQ(choices_from_json("{\"a#block\": 0}"), (Choices{{"a#block", int64_t{0}}}));
  EXPECT_THAT(message_of([] { choices_from_json("[1]"); }), HasSubstr("expected an object"));
  EXPECT_THAT(message_of([] { choices_from_json("{\"a\""); }), HasSubstr("line 1"));
}

TEST(Choices, AndPlansAreToldApart) {
  EXPECT_TRUE(std::holds_alternative<Plan>(choices_or_plan_from_json(example("plan.json"))));
  EXPECT_TRUE(std::holds_alternative<Choices>(choices_or_plan_from_json(example("choices.json"))));
  EXPECT_THAT(message_of([] { choices_or_plan_from_json(example("report.json")); }),
              HasSubstr("the format is 'cpd-report'"));
}

TEST(Plans, OfTheDocumentationAreReadAndWrittenBack) {
  const Plan plan = plan_from_json(example("plan.json"));
  EXPECT_EQ(plan.units.at(kUnit).kept, (std::vector<Indices>{{0, 2}}));
  EXPECT_EQ(plan.parameters.at("b.weight").at(1).role, "reader");
  EXPECT_EQ(plan.parameters.at("a.bias").at(0).kept, (std::vector<Indices>{{0, 2}}));
  EXPECT_EQ(plan_from_json(to_json(plan)), plan);
}

TEST(Plans, KeepEveryFormOfADimension) {
  Plan plan;
  plan.units["u"] = {4, {{0, 1}, {2, 3}}};
  plan.parameters["one"][0] = {{}, {{1, 3}}, false, "writer"};
  plan.parameters["blocks"][1] = {{0}, {{0, 2}, {1, 3}}, true, "along"};
  plan.parameters["rows"][2] = {{0, 1}, {{0}, {1}, {2}, {0}}, false, "writer, reader"};
  plan.refit = {"one"};
  plan.dropped = {"gone"};
  const Plan again = plan_from_json(to_json(plan));
  EXPECT_EQ(again, plan);
  EXPECT_EQ(to_json(again), to_json(plan));
}

TEST(Plans, RefuseANewerVersionWithBothNumbers) {
  const std::string newer = with(example("plan.json"), "\"version\": 1", "\"version\": 3");
  EXPECT_EQ(message_of([&] { plan_from_json(newer); }),
            "version: cpd-plan of version 3 is newer than this program; expected version 1");
}

struct BadPlan {
  std::string from, to, path, problem;
};

class PlanErrors : public ::testing::TestWithParam<BadPlan> {};

TEST_P(PlanErrors, NameTheKeysPath) {
  const BadPlan& bad = GetParam();
  const std::string message =
      message_of([&] { plan_from_json(with(example("plan.json"), bad.from, bad.to)); });
  EXPECT_THAT(message, HasSubstr(bad.path));
  EXPECT_THAT(message, HasSubstr(bad.problem));
}

INSTANTIATE_TEST_SUITE_P(
    All, PlanErrors,
    ::testing::Values(
        BadPlan{"cpd-plan", "cpd-groups", "format", "expected 'cpd-plan'"},
        BadPlan{"\"format\": \"cpd-plan\",", "", "", "this is no cpd-plan"},
        BadPlan{"\"version\": 1,", "", "version", "the key is missing"},
        BadPlan{"\"version\": 1", "\"version\": 0", "version", "never was"},
        BadPlan{"\"of\": 4", "\"of\": \"4\"", "units." + kUnit + ".of", "expected a whole number"},
        BadPlan{"\"of\": 4", "\"off\": 4", "units." + kUnit, "the key is missing"},
        BadPlan{"\"of\": 4", "\"of\": 2", "units." + kUnit + ".kept", "expected less than 2"},
        BadPlan{"\"kept\": [0, 2]", "\"kept\": []", "units." + kUnit + ".kept", "nothing is kept"},
        BadPlan{"\"kept\": [0, 2]", "\"kept\": [2, 0]", "units." + kUnit + ".kept", "ascending"},
        BadPlan{"\"kept\": [0, 2]", "\"kept\": [0, 0]", "units." + kUnit + ".kept", "ascending"},
        BadPlan{"\"kept\": [0, 2]", "\"kept\": [[0], [1, 2]]", "units." + kUnit + ".kept",
                "the same number in every block"},
        BadPlan{"{\"1\": [0, 2]}", "{\"x\": [0, 2]}", "parameters.b.weight", "no dimension"},
        BadPlan{"{\"1\": [0, 2]}", "{\"1\": [-1, 2]}", "parameters.b.weight.1", "from 0"},
        BadPlan{"{\"1\": [0, 2]}", "{\"1\": 3}", "parameters.b.weight.1", "expected a list"},
        BadPlan{"{\"1\": [0, 2]}", "{\"1\": {\"along\": [0]}}", "parameters.b.weight.1",
                "the key is missing"},
        BadPlan{"{\"1\": [0, 2]}", "{\"1\": {\"along\": [], \"kept\": [[0], [1]]}}",
                "parameters.b.weight.1", "2 lists"},
        BadPlan{"{\"1\": \"reader\"}", "{\"1\": \"boss\"}", "parameters.b.weight.1",
                "expected writer, reader or along"},
        BadPlan{"{\"1\": \"reader\"}", "{\"1\": \"reader, along\"}", "parameters.b.weight.1",
                "the role is 'reader, along'"},
        BadPlan{"{\"1\": \"reader\"}", "{\"0\": \"reader\"}", "roles.b.weight.0", "does not cut"},
        BadPlan{"\"refit\": []", "\"refits\": []", "refits", "did you mean 'refit'?"}));

TEST(GroupsFile, OfTheDocumentationIsReadAndWrittenBack) {
  const Groups groups = groups_from_json(example("groups.json"));
  const GroupEntry& unit = groups.units.at(kUnit);
  EXPECT_EQ(unit.members.size(), 3U);
  EXPECT_EQ(unit.members[2].indices, (std::vector<Indices>{{0, 1, 2, 3}}));
  EXPECT_EQ(groups.locked.front().source, "net.py:12");
  EXPECT_EQ(groups_from_json(to_json(groups)), groups);
  Groups gaps = groups;
  gaps.units.at(kUnit).members[0].indices = {{0, 1, 2, 5}};
  EXPECT_EQ(groups_from_json(to_json(gaps)), gaps);
}

TEST(GroupsFile, MayBeEditedInBoundsOnly) {
  const Groups own = groups_from_json(example("groups.json"));
  Groups edited = own;
  GroupEntry& unit = edited.units.at(kUnit);
  unit.frozen = true;
  unit.min = 2;
  unit.max = 3;
  unit.divisor = 2;
  EXPECT_NO_THROW(check_edited(edited, own));
  EXPECT_NO_THROW(check_edited(groups_from_json(to_json(edited)), own));

  const auto message = [&](auto change) {
    Groups other = own;
    change(other);
    return message_of([&] { check_edited(other, own); });
  };
  EXPECT_THAT(message([](Groups& g) { g.units.at(kUnit).of = 5; }),
              HasSubstr("units." + kUnit + ".of: the value was changed"));
  EXPECT_THAT(message([](Groups& g) { g.units.at(kUnit).members.pop_back(); }),
              HasSubstr("units." + kUnit + ".members"));
  EXPECT_THAT(message([](Groups& g) { g.units["a_(0, 4)_out_1_in_2"] = g.units.at(kUnit); }),
              HasSubstr("did you mean '" + kUnit + "'?"));
  EXPECT_THAT(message([](Groups& g) { g.units.clear(); }), HasSubstr("the unit is missing"));
  EXPECT_THAT(message([](Groups& g) { g.model.structure = "0"; }), HasSubstr("another network"));
}

TEST(GroupsFile, RefusesBoundsThatContradictEachOther) {
  const auto message = [](const std::string& from, const std::string& to) {
    return message_of([&] { groups_from_json(with(example("groups.json"), from, to)); });
  };
  const std::string unit = "units." + kUnit;
  EXPECT_THAT(message("\"min\": 1", "\"min\": 5"), HasSubstr(unit + ".min: the value is 5"));
  EXPECT_THAT(message("\"max\": -1", "\"max\": 0"), HasSubstr(unit + ".max: the value is 0"));
  EXPECT_THAT(message("\"divisor\": 1", "\"divisor\": 0"), HasSubstr(unit + ".divisor"));
  EXPECT_THAT(message("\"frozen\": false", "\"frozen\": 0"), HasSubstr("true or false"));
  EXPECT_THAT(message("[[0, 1, 2, 3]]", "[[0, 1, 3, 2]]"), HasSubstr(unit + ".members[0].indices"));
  EXPECT_THAT(message("[[0, 1, 2, 3]]", "[]"), HasSubstr("expected 1, one for each block"));
  for (const std::string run : {"0:", "4", "3:3", "-1:3", "0:4:1", "a:b", "0:99999999999"}) {
    EXPECT_THAT(message("\"0:4\"", "\"" + run + "\""),
                HasSubstr(unit + ".members[1].indices[0]: '" + run + "' is no run of indices"));
  }
  EXPECT_THAT(message("\"version\": 1", "\"version\": 2"), HasSubstr("of version 2 is newer"));
}

TEST(Reports, OfTheDocumentationAreReadAndWrittenBack) {
  const Report report = report_from_json(example("report.json"));
  EXPECT_EQ(report.budgets.at("macs").reached, 5760);
  EXPECT_EQ(report.units.at(kUnit).kept, 2);
  EXPECT_EQ(report.after.latency.at("1"), 0.00015);
  EXPECT_EQ(report_from_json(to_json(report)), report);
  const std::string text = to_text(report);
  EXPECT_THAT(text, HasSubstr("11.5 k   5.76 k  50.0 %"));
  EXPECT_THAT(text, HasSubstr("  a  2/4\n"));
  EXPECT_EQ(report.units.at(kUnit).score_lost, 0.5);
  EXPECT_THAT(text, HasSubstr("lost most  kept  of its score  of all lost     MACs  parameters\n"
                              "a           2/4        12.5 %      100.0 %  -50.0 %     -49.5 %\n"));
  EXPECT_THAT(text, HasSubstr("stopped by macs: one step more would need 8.64 k"));
  EXPECT_THAT(text, HasSubstr("batch 2; relative error 1.0e-16 in float64 (allowed 1.0e-09)"));
}

TEST(Reports, RefuseABudgetThatWasExceeded) {
  const auto message = [](const std::string& from, const std::string& to) {
    return message_of([&] { report_from_json(with(example("report.json"), from, to)); });
  };
  EXPECT_THAT(message("\"reached\": 5760", "\"reached\": 5761"),
              HasSubstr("budgets.macs.reached: the value is 5761"));
  EXPECT_THAT(message("\"kept\": 2", "\"kept\": 5"), HasSubstr("units." + kUnit + ".kept"));
  EXPECT_THAT(message("\"before\":", "\"befor\":"), HasSubstr("before: the key is missing"));
}

TEST(Texts, ThatAreNoJsonOrCutShortAreErrors) {
  const std::string whole = example("groups.json");
  for (size_t length = 0; length + 2 < whole.size(); length += 7) {
    EXPECT_THROW(groups_from_json(whole.substr(0, length)), Error) << length;
  }
}

/// Characters of the text changed, doubled or left out at random places; values swapped.
std::string damaged(std::string text, uint64_t seed) {
  static const std::vector<std::string> values = {
      "-1", "1e400", "0.5", "null", "[]", "{}", "\"\"", "true", "99999999999999999999"};
  Random random(seed);
  for (int64_t changes = 1 + random.below(4); changes > 0; --changes) {
    const auto at = static_cast<size_t>(random.below(static_cast<int64_t>(text.size())));
    switch (random.below(4)) {
      case 0:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        text.erase(at, 1 + static_cast<size_t>(random.below(20)));
        break;
      case 2:
        text.insert(at, text.substr(at, static_cast<size_t>(random.below(40))));
        break;
      default:
        const size_t number = text.find_first_of("0123456789", at);
        if (number == std::string::npos) break;
        const size_t end = text.find_first_not_of("0123456789.", number);
        text.replace(
            number, end - number,
            values[static_cast<size_t>(random.below(static_cast<int64_t>(values.size())))]);
    }
    if (text.empty()) text = " ";
  }
  return text;
}

/// Damaged texts are read with a cpd::Error or as something that is written and read again alike.
template <typename Read>
void expect_sound(const std::string& text, Read read) {
  int read_well = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const std::string bad = damaged(text, seed);
    try {
      const auto value = read(bad);
      ASSERT_EQ(read(to_json(value)), value) << bad;
      ++read_well;
    } catch (const Error&) {
      continue;
    }
  }
  EXPECT_LT(read_well, 2000) << "hardly anything was damaged";
}

TEST(Texts, ThatAreDamagedAreErrorsOrReadSoundly) {
  expect_sound(example("choices.json"), choices_from_json);
  expect_sound(example("plan.json"), plan_from_json);
  expect_sound(example("groups.json"), groups_from_json);
  expect_sound(example("report.json"), report_from_json);
}

}  // namespace
}  // namespace cpd
