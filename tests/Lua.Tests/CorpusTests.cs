using System.Text;
using Xunit;

namespace Leither.Lua.Tests;

public sealed class CorpusTests
{
    public static TheoryData<string> Scripts()
    {
        TheoryData<string> data = [];
        foreach (string file in Directory.GetFiles(Judge.ScriptFolder, "*.lua").Order(StringComparer.Ordinal))
        {
            data.Add(Path.GetFileName(file));
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Scripts))]
    public void A_script_prints_what_it_prints_in_Debians_lua(string name)
    {
        if (Judge.IsMissing)
        {
            return;
        }

        byte[] script = File.ReadAllBytes(Path.Combine(Judge.ScriptFolder, name));
        string[] theirs = Encoding.Latin1.GetString(Judge.RunTheirs(script, name)).Split('\n');
        string[] ours = Encoding.Latin1.GetString(Judge.RunOurs(script, "@" + name)).Split('\n');
        for (int i = 0; i < Math.Min(theirs.Length, ours.Length); i++)
        {
            Assert.True(theirs[i] == ours[i], $"{name}, line {i + 1} of the output\nexpected {theirs[i]}\nbut was  {ours[i]}");
        }

        Assert.Equal(theirs.Length, ours.Length);
    }
}
