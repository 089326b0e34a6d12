// MIMEI DOMAIN: under which hosts' names files are shown.

using Xunit;

namespace Leither.MmDb.Tests;

public sealed class DomainTests : IDisposable
{
    private readonly InProcess _db;
    private readonly FolderMimeiStore _store;
    private readonly string _mid;

    public DomainTests()
    {
        _db = FolderMimeiStore.Serve(out _store);
        _mid = Run("MIMEI CREATE FILE MARK app").Trim('"');
    }

    public void Dispose()
    {
        _db.Dispose();
        _store.Dispose();
    }

    [Fact]
    public void A_host_shows_one_MiMei_until_it_shows_another_or_none()
    {
        string other = Run("MIMEI CREATE FILE MARK other").Trim('"');
        Assert.Equal("+OK", Run($"MIMEI DOMAIN SET App.Example.com {_mid}"));
        Assert.Equal("+OK", Run($"MIMEI DOMAIN SET a.localhost {_mid}"));
        Assert.Equal($"[[\"host\", \"a.localhost\", \"mid\", \"{_mid}\"], [\"host\", \"app.example.com\", \"mid\", \"{_mid}\"]]", List());
        Assert.Equal("+OK", Run($"MIMEI DOMAIN SET app.example.com {other}"));
        Assert.Equal(":1", Run("MIMEI DOMAIN DEL A.LOCALHOST"));
        Assert.Equal(":0", Run("MIMEI DOMAIN DEL a.localhost"));
        Assert.Equal($"[[\"host\", \"app.example.com\", \"mid\", \"{other}\"]]", List());
        var again = new HostNames(_store.Folder);
        Assert.Equal(other, Assert.Single(again.All).Value.ToString());
        Assert.True(again.TryFind("APP.example.com", out _));
    }

    [Theory]
    [InlineData("localhost")]
    [InlineData("127.0.0.1")]
    [InlineData("[::1]")]
    [InlineData("a.ipfs.localhost")]
    [InlineData("x.ipns.localhost")]
    [InlineData("a..b")]
    [InlineData(".b")]
    [InlineData("-a.b")]
    [InlineData("a.b:80")]
    [InlineData("a/b")]
    [InlineData("a_b")]
    [InlineData("")]
    public void What_is_no_name_of_a_host_is_refused(string host)
    {
        Assert.StartsWith("-ERR a host's name has letters", Run($"MIMEI DOMAIN SET '{host}' {_mid}"), StringComparison.Ordinal);
        Assert.Equal("[]", List());
    }

    [Theory]
    [InlineData("MIMEI DOMAIN", "-ERR wrong number of arguments for 'mimei|domain' command")]
    [InlineData("MIMEI DOMAIN SET a.b", "-ERR unknown subcommand or wrong number of arguments for 'DOMAIN'")]
    [InlineData("MIMEI DOMAIN SET a.b nosuch", "-ERR no such MiMei 'nosuch'")]
    [InlineData("MIMEI DOMAIN LIST a", "-ERR unknown subcommand or wrong number of arguments for 'DOMAIN'")]
    public void Errors_say_what_is_wrong(string command, string error) => Assert.StartsWith(error, Run(command), StringComparison.Ordinal);

    [Fact]
    public void A_database_is_shown_to_nobody() =>
        Assert.StartsWith("-WRONGTYPE this MiMei holds a database, and no files", Run($"MIMEI DOMAIN SET a.b {Run("MIMEI CREATE DB MARK x").Trim('"')}"), StringComparison.Ordinal);

    [Fact]
    public void A_damaged_file_is_told_with_its_line()
    {
        File.WriteAllText(Path.Combine(_store.Folder, "hosts"), "a.b nosuch\n");
        Assert.Contains("'a.b nosuch'", Assert.Throws<IOException>(() => new HostNames(_store.Folder)).Message, StringComparison.Ordinal);
    }

    private string List() => Run("MIMEI DOMAIN LIST").Replace('{', '[').Replace('}', ']').Replace(": ", ", ", StringComparison.Ordinal);

    private string Run(string command) => _db.Default.RunToEnd(command);
}
